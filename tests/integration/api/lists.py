"""Lists: which revision they are of, pages, selectors, shapes."""
import os

from lib import *

TABLES = os.path.join(os.path.dirname(__file__), '../../../src/schema/tables')


def rows(name):
    with open(os.path.join(TABLES, name)) as f:
        return [line.rstrip('\n').split('\t') for line in f if line.strip() and line[0] not in '#@']


def names(listed):
    return [i['metadata']['name'] for i in listed['items']]


def invalid(answer, *causes):
    body = refused(answer, 422, 'Invalid', causes=list(causes))
    same((body['details']['group'], body['details']['kind']), ('meta.k8s.io', 'ListOptions'))
    texts = ['%s: %s' % (field, message) for _, field, message in causes]
    text = texts[0] if len(texts) == 1 else '[%s]' % ', '.join(texts)
    same(body['message'], 'ListOptions.meta.k8s.io "" is invalid: ' + text)


def forbidden(field, text):
    return 'FieldValueForbidden', field, 'Forbidden: ' + text


def t_revision_matrix():
    ns = namespace('matrix') + '/configmaps'
    for i in range(4):
        good(ask('POST', ns, configmap('c%d' % i)))
    then = int(good(get(ns))['metadata']['resourceVersion'])
    for i in range(4, 8):
        good(ask('POST', ns, configmap('c%d' % i)))
    now = int(good(get(ns))['metadata']['resourceVersion'])
    old = ['c0', 'c1', 'c2', 'c3', 'kube-root-ca.crt']
    new = ['c%d' % i for i in range(8)] + ['kube-root-ca.crt']
    needs = forbidden('resourceVersionMatch', 'resourceVersionMatch is forbidden unless resourceVersion is provided')
    zero = forbidden('resourceVersionMatch', 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"')
    # match, limit, resourceVersion → what is listed, or the cause of the refusal
    for match, limit, revision, expected in [
            (None, None, None, new), (None, None, 0, new), (None, None, then, new), (None, None, now, new),
            (None, 100, None, new), (None, 100, 0, new), (None, 100, then, old), (None, 100, now, new),
            (None, 2, then, old), ('NotOlderThan', 2, then, new), ('Exact', 2, then, old),
            ('Exact', None, None, needs), ('Exact', None, 0, zero), ('Exact', None, then, old),
            ('Exact', 100, None, needs), ('Exact', 100, 0, zero), ('Exact', 100, then, old),
            ('NotOlderThan', None, None, needs), ('NotOlderThan', None, 0, new), ('NotOlderThan', None, then, new),
            ('NotOlderThan', 100, None, needs), ('NotOlderThan', 100, 0, new), ('NotOlderThan', 100, then, new)]:
        answer = get(ns, resourceVersionMatch=match, limit=limit, resourceVersion=revision)
        where = 'match=%s limit=%s revision=%s' % (match, limit, revision)
        if isinstance(expected, tuple):
            invalid(answer, expected)
            continue
        listed = good(answer)
        same(names(listed), expected[:limit] if limit else expected, where)
        holds(int(listed['metadata']['resourceVersion']) == then if expected is old else
              int(listed['metadata']['resourceVersion']) >= now, where)
    unsupported = ('FieldValueNotSupported', 'resourceVersionMatch',
                   'Unsupported value: "Newest": supported values: "Exact", "NotOlderThan", ""')
    invalid(get(ns, resourceVersionMatch='Newest', resourceVersion='1'), unsupported)
    invalid(get(ns, resourceVersionMatch='Newest'), needs, unsupported)
    invalid(get(ns, sendInitialEvents='false'), forbidden('sendInitialEvents', 'sendInitialEvents is forbidden for list'))
    refused(get(ns, resourceVersion='new'), 400, 'BadRequest',
            'invalid resource version: resourceVersion: Invalid value: "new": strconv.ParseUint: parsing "new": '
            'invalid syntax')
    refused(get(ns, limit='all'), 400, 'BadRequest', 'strconv.ParseInt: parsing "all": invalid syntax')
    same(names(good(get(ns, limit=-1))), new)


def t_revision_of_a_get():
    ns = namespace('single') + '/configmaps'
    made = good(ask('POST', ns, configmap('one')))
    for revision in (None, '', '0', '1', made['metadata']['resourceVersion']):
        same(good(get(ns + '/one', resourceVersion=revision)), made)


def t_too_large_a_revision():
    ns = CORE + 'default/configmaps'
    far = int(good(get(ns))['metadata']['resourceVersion']) + 100000
    for path, match, limit in ((ns, None, None), (ns, 'Exact', None), (ns, 'NotOlderThan', 5), (ns, None, 5),
                               (ns + '/kube-root-ca.crt', None, None)):
        before = time.time()
        refused(get(path, resourceVersion=far, resourceVersionMatch=match, limit=limit), 504, 'Timeout',
                'Timeout: Too large resource version: %d, current: …' % far,
                [('ResourceVersionTooLarge', '', 'Too large resource version')], retry=1)
        holds(2.5 < time.time() - before < 6, 'a read waits three seconds for the revision')


def t_pages():
    ns = namespace('pages') + '/configmaps'
    for i in range(10):
        good(ask('POST', ns, configmap('p%d' % i, {'half': str(i // 5)})))
    first = good(get(ns, limit=4))
    same((names(first), first['metadata']['remainingItemCount']), (['kube-root-ca.crt', 'p0', 'p1', 'p2'], 7))
    good(ask('DELETE', ns + '/p5'))
    good(ask('POST', ns, configmap('p99')))
    # What follows is as it was.
    more, seen, page = first['metadata']['continue'], names(first), None
    while more:
        page = good(get(ns, limit=4, continue_=more))
        same(page['metadata']['resourceVersion'], first['metadata']['resourceVersion'])
        seen += names(page)
        more = page['metadata'].get('continue')
    same(seen, ['kube-root-ca.crt'] + ['p%d' % i for i in range(10)])
    holds('remainingItemCount' not in page['metadata'], page)
    # With selectors nobody knows how many remain.
    page = good(get(ns, limit=2, labelSelector='half=0'))
    same(names(page), ['p0', 'p1'])
    holds('continue' in page['metadata'] and 'remainingItemCount' not in page['metadata'], page)
    # All namespaces: the rest of everything.
    page = good(get('/api/v1/configmaps', limit=1))
    same(page['metadata']['remainingItemCount'], len(good(get('/api/v1/configmaps'))['items']) - 1)
    # "0" may stand beside continue, another revision may not.
    good(get(ns, limit=4, continue_=first['metadata']['continue'], resourceVersion=0))
    refused(get(ns, limit=4, continue_=first['metadata']['continue'], resourceVersion=5), 400, 'BadRequest',
            'specifying resource version is not allowed when using continue')
    invalid(get(ns, continue_=first['metadata']['continue'], resourceVersion=5, resourceVersionMatch='Exact'),
            forbidden('resourceVersionMatch', 'resourceVersionMatch is forbidden when continue is provided'))
    for bad in ('%%%', 'abc', token({'v': 'meta.k8s.io/v2', 'rv': 5, 'start': 'x'}),
                token({'v': 'meta.k8s.io/v1', 'rv': 0, 'start': 'x'}), token({'v': 'meta.k8s.io/v1', 'rv': 5, 'start': ''}),
                token({'v': 'meta.k8s.io/v1', 'rv': 5, 'start': 'default/x'})):
        refused(get(ns, continue_=bad), 400, 'BadRequest', 'invalid continue token: continue key is not valid: …')


def t_inconsistent_continuation():
    ns = namespace('onwards') + '/configmaps'
    for i in range(4):
        good(ask('POST', ns, configmap('k%d' % i)))
    first = good(get(ns, limit=2))
    good(ask('POST', ns, configmap('k9')))
    page = good(get(ns, continue_=token(dict(untoken(first['metadata']['continue']), rv=-1))))
    same(names(page), ['k2', 'k3', 'k9', 'kube-root-ca.crt'])
    holds(page['metadata']['resourceVersion'] != first['metadata']['resourceVersion'], page)


def t_label_selectors():
    ns = namespace('labels') + '/configmaps'
    for name, labels in {'a': {'env': 'prod', 'tier': 'web'}, 'b': {'env': 'prod', 'tier': 'db', 'rank': '2'},
                         'c': {'env': 'test', 'rank': '10'}, 'd': {}}.items():
        good(ask('POST', ns, configmap(name, labels)))
    rest = ['d', 'kube-root-ca.crt']
    for selector, expected in [
            ('', ['a', 'b', 'c'] + rest), ('env=prod', ['a', 'b']), ('env==prod', ['a', 'b']),
            ('env!=prod', ['c'] + rest), ('env in (prod,test)', ['a', 'b', 'c']), ('env notin (prod)', ['c'] + rest),
            ('env', ['a', 'b', 'c']), ('!env', rest), ('env,tier=db', ['b']), ('env=prod,tier notin (db)', ['a']),
            ('rank>2', ['c']), ('rank<10', ['b']), ('rank>1,rank<11', ['b', 'c']), ('env=', []), ('tier in (web, db)', ['a', 'b']), (' env = prod ', ['a', 'b'])]:
        same(names(good(get(ns, labelSelector=selector))), expected, selector)
    for bad in ('env=prod,,', 'env in prod', 'a b', '=x', 'env>ten', '-x=1', 'env=' + 'v' * 64):
        refused(get(ns, labelSelector=bad), 400, 'BadRequest')


def t_field_selectors():
    """Every field of every kind is known to lists, watches and deletecollection; others are refused."""
    with_fields = {}
    for group, version, kind, label, *_ in rows('selectable.tsv'):
        with_fields.setdefault((group, version, kind), []).append(label)
    tried = 0
    for r in rows('resources.tsv'):
        group, version, kind, list_kind, plural, namespaced = r[0], r[1], r[2], r[3], r[4], r[8] == 'y'
        if not list_kind or 'watch' not in r[9]:
            continue
        path = ('/apis/%s/%s/' % (group, version) if group else '/api/v1/') + plural
        for label in with_fields.get((group, version, kind), []) + ['metadata.name']:
            same(good(get(path, fieldSelector=label + '=no-such-value'))['items'], [], (kind, label))
            good(get(path, fieldSelector=label + '!=no-such-value'))
            tried += 1
        known = with_fields.get((group, version, kind))
        refused(get(path, fieldSelector='spec.nope=1'), 400, 'BadRequest',
                'field label not supported: spec.nope' if known else
                '"spec.nope" is not a known field selector: only "metadata.name", "metadata.namespace"')
    holds(tried > 80, tried)
    refused(get('/api/v1/pods', fieldSelector='spec.nodeName'), 400, 'BadRequest')


def t_pods_by_fields():
    ns = namespace('fields')
    good(ask('POST', ns + '/pods', pod('free')))
    good(ask('POST', ns + '/pods', pod('bound', 'node-1')))
    good(ask('PATCH', ns + '/pods/bound/status', {'status': {'phase': 'Running', 'podIP': '10.1.2.3',
                                                            'podIPs': [{'ip': '10.1.2.3'}]}}, content=PATCH['merge']))
    for selector, expected in [
            ('spec.nodeName=node-1', ['bound']), ('spec.nodeName=', ['free']), ('spec.nodeName!=node-1', ['free']),
            ('spec.host=node-1', ['bound']), ('status.phase=Running,spec.restartPolicy=Always', ['bound']),
            ('status.phase!=Running', ['free']), ('status.podIP=10.1.2.3', ['bound']), ('metadata.name=free', ['free']),
            ('metadata.namespace=fields', ['bound', 'free']), ('metadata.namespace=other', []),
            ('spec.schedulerName=default-scheduler', ['bound', 'free']), ('spec.hostNetwork=false', ['bound', 'free']),
            ('spec.serviceAccountName=default', ['bound', 'free']), ('status.nominatedNodeName=', ['bound', 'free'])]:
        same(names(good(get(ns + '/pods', fieldSelector=selector))), expected, selector)
    same(names(good(get('/api/v1/pods', fieldSelector='metadata.namespace=fields'))), ['bound', 'free'])
    same(names(good(get('/api/v1/pods', fieldSelector='spec.nodeName=node-1'))), ['bound'])


def t_shapes():
    ns = namespace('shapes') + '/configmaps'
    good(ask('POST', ns, configmap('one', {'l': '1'}, {'k': 'v', 'k2': 'v'})))
    listed = good(get(ns, accept=PARTIAL_LIST))
    same((listed['kind'], listed['apiVersion']), ('PartialObjectMetadataList', 'meta.k8s.io/v1'))
    item = [i for i in listed['items'] if i['metadata']['name'] == 'one'][0]
    same((item['kind'], item['apiVersion'], item['metadata']['labels'], 'data' in item),
         ('PartialObjectMetadata', 'meta.k8s.io/v1', {'l': '1'}, False))
    one = good(get(ns + '/one', accept=PARTIAL))
    same((one['kind'], sorted(one)), ('PartialObjectMetadata', ['apiVersion', 'kind', 'metadata']))
    table = good(get(ns, accept=TABLE, limit=1))
    same((table['kind'], table['apiVersion'], len(table['rows'])), ('Table', 'meta.k8s.io/v1', 1))
    holds({'resourceVersion', 'continue', 'remainingItemCount'} <= set(table['metadata']), table['metadata'])
    for include, expected in ((None, 'PartialObjectMetadata'), ('Metadata', 'PartialObjectMetadata'),
                              ('Object', 'ConfigMap'), ('None', None)):
        for path in (ns, ns + '/one'):
            row = [w for w in good(get(path, accept=TABLE, includeObject=include))['rows'] if w['cells'][0] == 'one'][0]
            same((row.get('object') or {}).get('kind'), expected, include)
    same(row['cells'][1], 2)
    refused(get(ns, accept='application/json;as=Graph;v=v1;g=meta.k8s.io'), 406, 'NotAcceptable')
    # Falls back along the list.
    same(good(get(ns, accept='application/json;as=Graph;v=v1;g=meta.k8s.io,application/json'))['kind'], 'ConfigMapList')


def t_table_columns():
    """Every kind's columns, as the table of columns has them: names, types, formats, priorities, in order."""
    columns = {}
    for group, version, kind, name, kind_of, form, priority, *_ in rows('columns.tsv'):
        columns.setdefault((group, version, kind), []).append((name, kind_of, form, int(priority)))
    tried = 0
    for r in rows('resources.tsv'):
        if not r[3] or 'list' not in r[9]:
            continue
        path = ('/apis/%s/%s/' % (r[0], r[1]) if r[0] else '/api/v1/') + r[4]
        answer = good(get(path, accept=TABLE))
        same(answer['kind'], 'Table', path)
        expected = columns.get(tuple(r[:3])) or [('Name', 'string', 'name', 0), ('Created At', 'date', '', 0)]
        same([(c['name'], c['type'], c['format'], c['priority']) for c in answer['columnDefinitions']], expected, path)
        for row in answer['rows']:
            same(len(row['cells']), len(expected), path)
        tried += 1
    holds(tried > 50, tried)


main(globals())
