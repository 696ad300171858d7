#!/usr/bin/env python3
"""Turns the tables beside it (tables/*.tsv, *.jsonl) into tables.c, the built-in part of schema.h.

usage: generate.py TABLES_DIR OUTPUT_FILE

Each table's first line says what its columns mean. Only what C's compiler needs is written: constant arrays that
refer to each other, with strings and string lists shared.
"""
import json
import os
import re
import sys

KINDS = {
    'string': 'STRING', 'bool': 'BOOL', 'int32': 'INT32', 'int64': 'INT64', 'double': 'DOUBLE', 'quantity': 'QUANTITY',
    'int-or-string': 'INT_OR_STRING', 'time': 'TIME', 'microtime': 'MICRO_TIME', 'duration': 'DURATION',
    'bytes': 'BYTES', 'raw': 'RAW', 'any': 'ANY',
}
LIST_TYPES = {'': 'NONE', 'atomic': 'ATOMIC', 'set': 'SET', 'map': 'MAP', 'granular': 'GRANULAR'}
VERBS = {'get': 1, 'list': 2, 'watch': 4, 'create': 8, 'update': 16, 'patch': 32, 'delete': 64, 'deletecollection': 128}
RBAC_VERSION = 'rbac.authorization.k8s.io/v1'
RBAC_GROUP = 'rbac.authorization.k8s.io'


def read(directory, name):
    """The rows of one table, cells padded to the width of the widest row."""
    with open(os.path.join(directory, name), encoding='utf-8') as f:
        rows = [line.rstrip('\n').split('\t') for line in f if line.strip() and line[0] not in '#@']
    width = max(len(r) for r in rows)
    return [r + [''] * (width - len(r)) for r in rows]


def c_string(text):
    out = ''
    for byte in text.encode('utf-8'):
        char = chr(byte)
        if char in '"\\':
            out += '\\' + char
        elif 32 <= byte < 127:
            out += char
        else:
            out += '\\%03o' % byte
    return '"%s"' % out


def c_string_or_null(text):
    return c_string(text) if text else 'NULL'


class Lists:
    """NULL-terminated lists of strings, each written once."""

    def __init__(self):
        self.names = {}

    def ref(self, items, empty='NULL'):
        items = tuple(i for i in items if i != '')
        if not items and empty == 'NULL':
            return 'NULL'
        return self.names.setdefault(items, 'list_%d' % len(self.names))

    def write(self, out):
        for items, name in self.names.items():
            out.append('static const char *const %s[] = {%s};' % (name, ', '.join([c_string(i) for i in items] + ['NULL'])))


class Types:
    def __init__(self, rows, defaults, checks, lists):
        self.lists = lists
        self.checks = {}
        for r in checks:
            self.checks.setdefault(r[0], []).append(r[1:])
        self.defaults = {}
        for r in defaults:
            self.defaults.setdefault(r[0], []).append(r[1:])
        self.fields = {}
        self.atomic = set()
        for r in rows:
            if r[1] == '.':
                self.fields.setdefault(r[0], [])
                if r[2] == 'atomic':
                    self.atomic.add(r[0])
            else:
                self.fields.setdefault(r[0], []).append(r)
        self.names = sorted(self.fields)
        self.number = {name: i for i, name in enumerate(self.names)}
        self.items = {}
        self.item_lines = []

    def item(self, kind):
        """The number in items[] of the description of what an array or map holds."""
        if kind not in self.items:
            value = self.value(kind)
            self.items[kind] = len(self.item_lines)
            self.item_lines.append('{%s},' % ', '.join(value))
        return self.items[kind]

    def value(self, kind):
        m = re.match(r'(array|map)<(.*)>$', kind)
        if m:
            return ['.kind = SCHEMA_' + m.group(1).upper(), '.item = &items[%d]' % self.item(m.group(2))]
        if kind.startswith('ref:'):
            return ['.kind = SCHEMA_REF', '.type = &types[%d]' % self.number[kind[4:]]]
        return ['.kind = SCHEMA_' + KINDS[kind]]

    def field(self, r):
        _, name, kind, flags, pb, list_type, keys, patch, merge_key, enum, default = r[:11]
        inline = name == '(inline)'
        bits = [b for c, b in (('r', 1), ('e', 2), ('z', 4), ('p', 8)) if c in flags] + ([16] if inline else [])
        out = [] if inline else ['.name = SLICE_INIT(%s)' % c_string(name)]
        out += self.value(kind)
        if enum.startswith('~'):
            bits.append(64)
        if bits:
            out.append('.flags = %d' % sum(bits))
        if pb:
            out.append('.pb = ' + pb)
        if list_type:
            out.append('.list_type = SCHEMA_LIST_' + LIST_TYPES[list_type] if list_type != 'granular' else
                       '.list_type = SCHEMA_GRANULAR')
        if keys:
            out.append('.list_keys = ' + self.lists.ref(keys.split(',')))
        if patch:
            out.append('.patch = %d' % sum({'merge': 1, 'replace': 2, 'retainKeys': 4}[p] for p in patch.split(',')))
        if merge_key:
            out.append('.merge_key = ' + c_string(merge_key))
        if enum:
            out.append('.enums = ' + self.lists.ref(enum.lstrip('~').split(',')))
        if default:
            out.append('.default_json = ' + c_string(default))
        return '{%s},' % ', '.join(out)

    def flat(self, name):
        """Fields as they stand in JSON; an inlined type's come where it stands, outer names win."""
        own = {r[1] for r in self.fields[name]}
        out = []
        for r in self.fields[name]:
            if r[1] != '(inline)':
                out.append(r)
            else:
                out += [f for f in self.flat(r[2][4:]) if f[1] not in own]
        return out

    def on_path(self, name, path):
        """The types through which a rule's path leads: their members may need ordering afterwards."""
        out = [name]
        for step in path.split('[')[0].split('.') if path else []:
            kinds = [r[2] for r in self.flat(name) if r[1] == step]
            if not kinds:
                sys.exit('defaults.tsv, validation.tsv: %s has no %s' % (name, step))
            m = re.search(r'ref:([^<>]+)', kinds[0])
            if not m:
                break
            name = m.group(1)
            out.append(name)
        return out

    def with_defaults(self):
        """Types below which a default may apply, themselves included."""
        unknown = (set(self.defaults) | set(self.checks)) - set(self.fields)
        if unknown:
            sys.exit('defaults.tsv, validation.tsv: unknown types: %s' % sorted(unknown))
        for name, rules in self.checks.items():
            for r in rules:
                self.on_path(name, r[0])
        found = {t for name, rules in self.defaults.items() for r in rules for t in self.on_path(name, r[0])}
        grown = True
        while grown:
            grown = False
            for name, rows in self.fields.items():
                refs = {m for r in rows for m in re.findall(r'ref:([^<>]+)', r[2])}
                quantities = any(r[2] == 'map<quantity>' for r in rows)
                if name not in found and (refs & found or quantities):
                    found.add(name)
                    grown = True
        return found

    def write_defaults(self, i, rows, lines):
        when = {'unset': 'SCHEMA_WHEN_UNSET', 'empty': 'SCHEMA_WHEN_EMPTY', 'always': 'SCHEMA_ALWAYS'}
        lines.append('static const struct schema_default defaults_%d[] = {' % i)
        lines += ['    {%s, %s, %s, %s},' % (c_string(path), when[w], c_string(condition), c_string(value))
                  for path, w, condition, value in rows] + ['};']

    def write(self, out):
        flat = {name: self.flat(name) for name in self.names}
        defaulted = self.with_defaults()
        lines, heads = [], []
        for i, name in enumerate(self.names):
            fields = flat[name]
            inlined = any(r[1] == '(inline)' for r in self.fields[name])
            if fields:
                lines.append('static const struct schema_field fields_%d[] = { /* %s */' % (i, name))
                lines += ['    ' + self.field(r) for r in fields] + ['};']
                order = sorted(range(len(fields)), key=lambda n: fields[n][1].encode())
                lines.append('static const uint16_t order_%d[] = {%s};' % (i, ', '.join(map(str, order))))
            if inlined:
                lines.append('static const struct schema_field own_%d[] = {' % i)
                lines += ['    ' + self.field(r) for r in self.fields[name]] + ['};']
            head = ['.name = ' + c_string(name)]
            if fields:
                head += ['.fields = fields_%d' % i, '.by_name = order_%d' % i, '.n_fields = %d' % len(fields),
                         '.own = %s_%d' % ('own' if inlined else 'fields', i), '.n_own = %d' % len(self.fields[name])]
            if name in self.defaults:
                self.write_defaults(i, self.defaults[name], lines)
                head.append('.defaults = defaults_%d, .n_defaults = %d' % (i, len(self.defaults[name])))
            if name in self.checks:
                lines.append('static const struct schema_rule checks_%d[] = {' % i)
                lines += ['    {%s},' % ', '.join(map(c_string, r)) for r in self.checks[name]] + ['};']
                head.append('.checks = checks_%d, .n_checks = %d' % (i, len(self.checks[name])))
            flags = (['SCHEMA_ATOMIC'] if name in self.atomic else []) + (['SCHEMA_DEFAULTED'] if name in defaulted else [])
            if flags:
                head.append('.flags = ' + ' | '.join(flags))
            heads.append('    {%s},' % ', '.join(head))
        out.append('static const struct schema_type types[%d];' % len(self.names))
        if self.item_lines:
            out.append('static const struct schema_field items[%d];' % len(self.item_lines))
        out += lines
        out.append('static const struct schema_field items[] = {')
        out += ['    ' + line for line in self.item_lines] + ['};']
        out.append('static const struct schema_type types[] = {')
        out += heads + ['};']
        out.append('const struct schema_type *const schema_types = types;')
        out.append('const size_t schema_n_types = %d;' % len(self.names))


def verbs(text, sep=','):
    return sum(VERBS[v] for v in text.split(sep) if v)


def c_enum(prefix, word):
    return prefix + word.upper().replace('-', '_')


class Resources:
    def __init__(self, directory, types, lists):
        self.types, self.lists = types, lists
        self.rows = read(directory, 'resources.tsv')
        self.strategies = {r[0]: r[1:] for r in read(directory, 'strategies.tsv')}
        self.selectable = self.group(read(directory, 'selectable.tsv'))
        self.columns = self.group(read(directory, 'columns.tsv'))
        self.by_gvk = {tuple(r[:3]): i for i, r in enumerate(self.rows)}
        self.kind_types = {}
        for r in self.rows:
            self.kind_types[(r[0], r[1], r[2])] = r[11]
        for name in types.names:
            m = re.match(r'io\.k8s\.api\.(\w+)\.(v\w+)\.(\w+)$', name)
            if m:
                group = {'core': '', 'authentication': 'authentication.k8s.io'}.get(m.group(1), m.group(1))
                self.kind_types.setdefault((group, m.group(2), m.group(3)), name)

    @staticmethod
    def group(rows):
        out = {}
        for r in rows:
            out.setdefault(tuple(r[:3]), []).append(r[3:])
        return out

    def sub(self, res, text):
        """name=[group/version/]Kind:verb|verb"""
        name, rest = text.strip().split('=')
        body, verb_text = rest.split(':')
        parts = body.split('/')
        group, version, kind = ([''] * (3 - len(parts)) + parts) if len(parts) > 1 else (res[0], res[1], body)
        known = self.kind_types.get((group, version, kind))
        ref = '&types[%d]' % self.types.number[known] if known else 'NULL'
        return '    {%s, %s, %s, %s, %d, %s},' % (c_string(name), c_string(group), c_string(version), c_string(kind),
                                                   verbs(verb_text, '|'), ref)

    def array(self, out, kind, name, lines):
        if not lines:
            return 'NULL', 0
        out.append('static const struct %s %s[] = {' % (kind, name))
        out += lines + ['};']
        return name, len(lines)

    def paths(self, text):
        return self.lists.ref(text.split(','))

    def one(self, i, r, out):
        key = tuple(r[:3])
        virtual = r[12] == 'virtual'
        stored = self.by_gvk[tuple(r[12].split('/'))] if r[12] and not virtual else i
        subs = self.array(out, 'resource_sub', 'subs_%d' % i, [self.sub(r, s) for s in r[13].split(';') if s.strip()])
        selectable = self.array(out, 'resource_selectable', 'selectable_%d' % i,
                                ['    {%s},' % ', '.join(map(c_string, s[:3])) for s in self.selectable.get(key, [])])
        columns = self.array(out, 'resource_column', 'columns_%d' % i,
                             ['    {%s, %s, %s, "", %s, %s},' % (c_string(c[0]), c_string(c[1]), c_string(c[2]), c[3],
                                                                 c_string(c[4])) for c in self.columns.get(key, [])])
        s = self.strategies.get(r[2], ['n', 'n', 'none', 'given', 'n', 'background', 'subdomain', '', '', '', '', 'n'])
        yes = {'y': 'true', 'n': 'false'}
        return ['.index = %d' % i, '.group = ' + c_string(r[0]), '.version = ' + c_string(r[1]),
                '.api_version = ' + c_string(r[0] + '/' + r[1] if r[0] else r[1]), '.kind = ' + c_string(r[2]),
                '.list_kind = ' + c_string(r[3]), '.plural = ' + c_string(r[4]), '.singular = ' + c_string(r[5]),
                '.short_names = ' + self.lists.ref(r[6].split(','), ''), '.categories = ' + self.lists.ref(r[7].split(','), ''),
                '.namespaced = ' + yes[r[8]], '.virtual = ' + ('true' if virtual else 'false'), '.verbs = %d' % verbs(r[9]),
                '.storage_hash = ' + c_string(r[10]), '.type = &types[%d]' % self.types.number[r[11]],
                '.storage = &resources[%d]' % stored, '.create_on_update = ' + yes[s[0]],
                '.unconditional_update = ' + yes[s[1]], '.generation = ' + c_enum('GENERATION_', s[2]),
                '.status_create = ' + {'given': 'STATUS_AS_GIVEN', 'cleared': 'STATUS_CLEARED', 'by-kind': 'STATUS_BY_KIND'}[s[3]],
                '.update_keeps_status = ' + yes[s[4]], '.propagation = ' + c_enum('PROPAGATION_', s[5]),
                '.returns_deleted = ' + yes[s[11]], '.name_rule = ' + c_enum('NAME_', s[6]), '.name_max = ' + (s[7] or '0'),
                '.status_keeps = ' + self.paths(s[8]), '.reset_main = ' + self.paths(s[9]),
                '.reset_status = ' + self.paths(s[10]), '.subs = %s, .n_subs = %d' % subs,
                '.selectable = %s, .n_selectable = %d' % selectable, '.columns = %s, .n_columns = %d' % columns]

    def write(self, out):
        out.append('static const struct resource resources[%d];' % len(self.rows))
        lines = ['    {%s},' % ', '.join(self.one(i, r, out)) for i, r in enumerate(self.rows)]
        out.append('static const struct resource resources[] = {')
        out += lines + ['};']
        out.append('const struct resource *const schema_resources = resources;')
        out.append('const size_t schema_n_resources = %d;' % len(self.rows))


def write_groups(directory, lists, out):
    rows = read(directory, 'groups.tsv')
    out.append('static const struct api_group groups[] = {')
    for name, versions, group_priority, version_priority in rows:
        out.append('    {%s, %s, %s, %s},' % (c_string(name), lists.ref(versions.split(',')), group_priority,
                                             version_priority.split(',')[0]))
    out.append('};')
    out.append('const struct api_group *const schema_groups = groups;')
    out.append('const size_t schema_n_groups = %d;' % len(rows))


def write_operations(directory, types, out):
    """operations.tsv: its @ lines name sets of query parameters and media types."""
    sets, lines = {}, []
    with open(os.path.join(directory, 'operations.tsv'), encoding='utf-8') as f:
        rows = [line.rstrip('\n').split('\t') for line in f if line.strip() and line[0] != '#']
    for r in rows:
        if r[0][0] == '@':
            sets[r[0][1:]] = r[1]
            continue
        r += [''] * (10 - len(r))
        body = '&types[%d]' % types.number[r[5]] if r[5] in types.number else 'NULL'
        group, version, kind = (r[4].split('/') + ['', '', ''])[:3] if r[4] else ('', '', '')
        answers = dict(a.split('=') for a in r[6].split(',') if a)
        answer = answers.get('200', '')
        known = '&types[%d]' % types.number[answer] if answer in types.number else 'NULL'
        bits = sum(b for code, b in (('200', 1), ('201', 2), ('202', 4)) if code in answers)
        lines.append('    {%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %d, %s, %s, %s},' % (
            c_string(r[0].lower()), c_string(r[1]), c_string(r[2]), c_string(r[3]), c_string(group), c_string(version),
            c_string(kind), body, 'true' if r[5].endswith('.Patch') else 'false', known, bits, c_string(sets.get(r[7], '')),
            c_string(sets.get(r[8], '')), c_string(sets.get(r[9], ''))))
    out.append('const struct api_operation api_operations[] = {')
    out += lines + ['};']
    out.append('const size_t api_n_operations = %d;' % len(lines))


def write_descriptions(directory, out):
    rows = sorted((r[0].encode(), r[0], r[1]) for r in read(directory, 'descriptions.tsv'))
    for (a, name, _), (b, _, _) in zip(rows, rows[1:]):
        if a == b:
            sys.exit('descriptions.tsv: %s twice' % name)
    out.append('const struct schema_text schema_texts[] = {')
    out += ['    {%s, %s},' % (c_string(name), c_string(text)) for _, name, text in rows] + ['};']
    out.append('const size_t schema_n_texts = %d;' % len(rows))


# ---- objects at start ----

def pairs(text):
    return dict(p.split('=', 1) for p in text.split(',') if p)


def rule(text):
    names = {'verbs': 'verbs', 'groups': 'apiGroups', 'resources': 'resources', 'names': 'resourceNames',
             'urls': 'nonResourceURLs'}
    out = {}
    for part in text.split(' '):
        key, values = part.split('=', 1)
        out[names[key]] = ['' if v == "''" else v for v in values.split(',')]
    order = ['verbs', 'apiGroups', 'resources', 'resourceNames', 'nonResourceURLs']
    return {k: out[k] for k in order if k in out}


def subject(text):
    kind, name = text.split(':', 1)
    if kind == 'ServiceAccount':
        namespace, name = name.split('/')
        return {'kind': kind, 'name': name, 'namespace': namespace}
    return {'kind': kind, 'apiGroup': RBAC_GROUP, 'name': name}


def rbac_objects(directory):
    objects = {}
    for kind, namespace, name, marks, row, content in read(directory, 'rbac.tsv'):
        o = objects.get((kind, namespace, name))
        if not o:
            labels, annotations = marks.split('|')
            meta = {'name': name}
            if namespace:
                meta['namespace'] = namespace
            meta.update(labels=pairs(labels), annotations=pairs(annotations))
            o = objects[(kind, namespace, name)] = {'kind': kind, 'apiVersion': RBAC_VERSION, 'metadata': meta}
        if row == 'rule':
            o.setdefault('rules', []).append(rule(content))
        elif row == 'aggregate':
            o['rules'] = []
            o['aggregationRule'] = {'clusterRoleSelectors': [
                {'matchLabels': pairs(content.split('=', 1)[1])}]}
        else:
            role, subjects = content.split(' <- ') if ' <- ' in content else (content.removesuffix(' <-'), '')
            if subjects.strip():
                o['subjects'] = [subject(s.strip()) for s in subjects.split(',')]
            o['roleRef'] = dict(zip(('apiGroup', 'kind', 'name'), [RBAC_GROUP] + role.split('/', 1)))
    aggregate(list(objects.values()))
    return list(objects.values())


def aggregate(objects):
    """Fills the aggregated roles as their controller would; inner ones first."""
    for _ in range(3):
        for o in objects:
            wanted = [s['matchLabels'] for s in o.get('aggregationRule', {}).get('clusterRoleSelectors', [])]
            if not wanted:
                continue
            rules = []
            for other in sorted((x for x in objects if x['kind'] == 'ClusterRole'), key=lambda x: x['metadata']['name']):
                labels = other['metadata']['labels']
                if any(all(labels.get(k) == v for k, v in w.items()) for w in wanted):
                    rules += [r for r in other['rules'] if r not in rules]
            o['rules'] = rules


def write_objects(out, name, count, objects):
    out.append('const struct slice %s[] = {' % name)
    for o in objects:
        text = c_string(json.dumps(o, separators=(',', ':'), ensure_ascii=False))
        out.append('    SLICE_INIT(%s),' % text)
    out.append('};')
    out.append('const size_t %s = %d;' % (count, len(objects)))


def main():
    directory, target = sys.argv[1], sys.argv[2]
    lists, body = Lists(), []
    types = Types(read(directory, 'types.tsv'), read(directory, 'defaults.tsv'), read(directory, 'validation.tsv'), lists)
    for name in types.names:  # items are numbered before anything refers to them
        for r in types.fields[name]:
            types.field(r)
    types.write(body)
    Resources(directory, types, lists).write(body)
    write_groups(directory, lists, body)
    write_operations(directory, types, body)
    write_descriptions(directory, body)
    write_objects(body, 'bootstrap_rbac', 'bootstrap_n_rbac', rbac_objects(directory))
    with open(os.path.join(directory, 'objects.jsonl'), encoding='utf-8') as f:
        write_objects(body, 'bootstrap_objects', 'bootstrap_n_objects', [json.loads(line) for line in f])
    head = ['/* Made by generate.py from the tables: do not edit. */', '#include "schema/tables.h"', '']
    lists.write(head)
    with open(target, 'w', encoding='utf-8') as f:
        f.write('\n'.join(head + body) + '\n')


if __name__ == '__main__':
    main()
