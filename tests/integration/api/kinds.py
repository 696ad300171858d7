"""Every resource of the tables: each of its verbs is served, and no other; each subresource likewise."""
import os

from lib import *

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../../src/schema/tables/resources.tsv')) as f:
    ROWS = [r for r in (l.rstrip('\n').split('\t') for l in f if l[0] not in '#@') if len(r) > 9]
METHODS = {'get': ('GET', True, None), 'list': ('GET', False, None), 'create': ('POST', False, {}), 'update': ('PUT', True, {}),
           'patch': ('PATCH', True, {}), 'delete': ('DELETE', True, None), 'deletecollection': ('DELETE', False, None),
           'watch': ('GET', False, None)}


def base(r):
    return ('/apis/%s/%s' % (r[0], r[1]) if r[0] else '/api/v1') + ('/namespaces/default/' if r[8] == 'y' else '/') + r[4]


def tried(path, verb):
    method, named, body = METHODS[verb]
    options = {'watch': {'watch': '1', 'timeoutSeconds': 1, 'fieldSelector': 'metadata.name=none'},
               'deletecollection': {'labelSelector': 'no=such', 'dryRun': 'All'}, 'create': {'dryRun': 'All'}, 'update': {'dryRun': 'All'}}.get(verb, {})
    return ask(method, path + ('/none' if named else ''), body, content=PATCH['merge'] if verb == 'patch' else None, **options)


def t_verbs():
    for r in ROWS:
        served = r[9].split(',')
        for verb in METHODS:
            if verb == 'watch' and 'watch' not in served:
                continue # a GET of the collection: a list
            answer, where = tried(base(r), verb), '%s %s' % (verb, base(r))
            if verb not in served:
                holds(answer.code in (404, 405) and answer.body['message'].startswith('the server '), '%s: %r' % (where, answer))
            elif verb in ('list', 'watch', 'deletecollection'):
                same(answer.code, 200, where)
            elif verb in ('get', 'delete', 'patch'):
                refused(answer, 404, 'NotFound', '%s%s "none" not found' % (r[4], '.' + r[0] if r[0] else ''))
            else: # an empty object: whatever is said is said of the object
                holds(answer.code in (200, 201, 400, 404, 409, 422) and 'the server ' not in answer.raw.decode(), '%s: %r' % (where, answer))


def t_subresources():
    count = 0
    for r in ROWS:
        for sub in r[13].split(';') if len(r) > 13 and r[13].strip() else []:
            name, _, rest = sub.strip().partition('=')
            verbs = rest.split(':')[1].split('|')
            for verb in ('get', 'update', 'patch', 'create'):
                if name in ('exec', 'attach', 'portforward', 'proxy', 'log'):
                    continue # of an agent
                method, _, body = METHODS[verb]
                answer = ask(method, base(r) + '/none/' + name, body, content=PATCH['merge'] if verb == 'patch' else None)
                where = '%s %s/%s: %r' % (verb, r[4], name, answer)
                if verb in verbs:
                    holds(answer.code in (400, 404, 422) and 'the server ' not in answer.body['message'], where)
                else:
                    same(answer.code, 405, where)
                count += 1
    holds(count > 60, count)


main(globals())
