"""What requests may look like beside the ordinary: methods, bodies, options in two places, old shapes, transfer codings."""
import socket

from lib import *

BETA_TABLE = 'application/json;as=Table;v=v1beta1;g=meta.k8s.io'
BETA_PARTIAL = 'application/json;as=PartialObjectMetadata;v=v1beta1;g=meta.k8s.io'
BETA_LIST = 'application/json;as=PartialObjectMetadataList;v=v1beta1;g=meta.k8s.io'
PROTOBUF = 'application/vnd.kubernetes.protobuf'


def raw(text, server=0):
    """Bytes as they are over TLS: (head, body) of the last answer, which must end the connection."""
    s = tls.wrap_socket(socket.create_connection((servers[server], 6443), timeout=20), server_hostname=servers[server])
    s.sendall(text)
    data = b''
    while piece := s.recv(65536):
        data += piece
    s.close()
    return data


def t_head():
    """A HEAD has the head of the GET and nothing else; the connection goes on."""
    c = connect()
    for path, code in (('/api/v1/namespaces/default', 200), ('/api/v1/namespaces/none', 404), ('/livez', 200), ('/api', 200),
                       ('/openapi/v2', 200), ('/api/v1/configmaps?limit=1', 200), ('/none', 404)):
        heads = []
        for method in ('HEAD', 'GET'):
            c.request(method, path)
            response = c.getresponse()
            body = response.read()
            same((response.status, bool(body)), (code, method == 'GET'), (method, path))
            heads.append([(k, v) for k, v in response.getheaders() if k.lower() not in ('date',)])
        same(heads[0], heads[1], path)


def t_methods():
    refused(ask('OPTIONS', '/api/v1/pods'), 405, 'MethodNotAllowed', 'the server does not allow this method on the requested resource')
    refused(ask('POST', '/api/v1/namespaces/default'), 405, 'MethodNotAllowed')
    refused(ask('PUT', '/api/v1/namespaces', {}), 405, 'MethodNotAllowed')
    refused(ask('PATCH', '/apis/apps/v1/deployments', {}, content=PATCH['merge']), 405, 'MethodNotAllowed')
    refused(ask('DELETE', '/api/v1/componentstatuses/x'), 405, 'MethodNotAllowed')
    answer = ask('FROB', '/api/v1/pods')
    same(answer.code in (400, 405), True, answer)


def t_old_shapes():
    """meta.k8s.io/v1beta1, which kubectl 1.14 and other old clients ask for."""
    ns = namespace('beta') + '/configmaps'
    good(ask('POST', ns, configmap('a', data={'k': 'v'})))
    table = good(get(ns, accept=BETA_TABLE))
    same((table['kind'], table['apiVersion']), ('Table', 'meta.k8s.io/v1beta1'))
    same([r['object']['apiVersion'] for r in table['rows']], ['meta.k8s.io/v1beta1'] * 2)
    same(table['rows'], [dict(r, object=dict(r['object'], apiVersion='meta.k8s.io/v1beta1'))
                         for r in good(get(ns, accept=TABLE))['rows']])
    for accept, version in ((BETA_PARTIAL, 'meta.k8s.io/v1beta1'), (PARTIAL, 'meta.k8s.io/v1')):
        for _ in range(2):  # made, then kept
            one = good(get(ns + '/a', accept=accept))
            same((one['kind'], one['apiVersion'], 'data' in one), ('PartialObjectMetadata', version, False))
    listed = good(get(ns, accept=BETA_LIST))
    same((listed['kind'], listed['apiVersion']), ('PartialObjectMetadataList', 'meta.k8s.io/v1beta1'))
    same({i.get('apiVersion', 'meta.k8s.io/v1beta1') for i in listed['items']}, {'meta.k8s.io/v1beta1'})
    event = next(watch(ns, accept=BETA_PARTIAL))
    same(event['object']['apiVersion'], 'meta.k8s.io/v1beta1')
    event = next(watch(ns, accept=BETA_TABLE))
    same(event['object']['apiVersion'], 'meta.k8s.io/v1beta1')
    # What kubectl sends: the newest that there is.
    same(good(get(ns, accept=TABLE + ',' + BETA_TABLE + ',application/json'))['apiVersion'], 'meta.k8s.io/v1')
    refused(get(ns, accept=TABLE.replace('v1', 'v2')), 406, 'NotAcceptable')


def t_accept_quality():
    path = '/api/v1/namespaces/default'
    for accept, chosen in (('application/json;q=0.1, application/yaml;q=0.9', 'application/yaml'),
                           ('*/*;q=0.1, application/vnd.kubernetes.protobuf;q=0.5', PROTOBUF),
                           ('*/*', 'application/json'), ('application/*', 'application/json'),
                           ('text/html, */*;q=0.2', 'application/json'), ('application/yaml, application/json', 'application/yaml'),
                           ('', 'application/json')):
        answer = get(path, accept=accept)
        same((answer.code, answer.headers['Content-Type']), (200, chosen), accept)
    for accept in ('text/html', 'application/cbor', 'application/cbor-seq', 'image/png'):
        refused(get(path, accept=accept), 406, 'NotAcceptable', 'only the following media types are accepted: '
                'application/json, application/yaml, application/vnd.kubernetes.protobuf')


def t_cbor_is_not_served():
    """Alpha in 1.36, and off: neither asked for nor sent, also as a patch and in a watch."""
    ns = CORE + 'default/configmaps'
    refused(get(ns, accept='application/cbor'), 406, 'NotAcceptable')
    refused(get(ns, watch=1, accept='application/cbor-seq'), 406, 'NotAcceptable')
    refused(ask('POST', ns, b'\xd9\xd9\xf7\xa0', content='application/cbor'), 415, 'UnsupportedMediaType', 'the body of the '
            'request was in an unknown format - accepted media types include: application/json, application/yaml, '
            'application/vnd.kubernetes.protobuf')
    refused(ask('PATCH', ns + '/x', b'\xd9\xd9\xf7\xa0', content='application/apply-patch+cbor'), 415, 'UnsupportedMediaType')
    # With something else beside it there is an answer.
    same(get(ns, accept='application/cbor, application/json;q=0.5').code, 200)


def t_openapi_v3_protobuf():
    """By either of its names, under the hash of the JSON, which never changes; other types are not had."""
    new = 'application/com.github.proto-openapi.spec.v3.v1.0+protobuf'
    where = good(get('/openapi/v3'))['paths']['apis/apps/v1']['serverRelativeURL']
    plain = get(where)
    for accept in (new, 'application/com.github.proto-openapi.spec.v3@v1.0+protobuf'):
        answer = get(where, accept=accept)
        same((answer.code, answer.headers['Content-Type'], answer.headers['Cache-Control']), (200, new, 'public, immutable'))
        same(answer.headers['ETag'], plain.headers['ETag'])
        holds(answer.raw.startswith(b'\n\x053.0.0\x12') and len(answer.raw) > 100000, answer.raw[:50])
        same(get(where, headers={'If-None-Match': answer.headers['ETag']}, accept=accept).code, 304)
    same(get('/openapi/v3/apis/apps/v1', accept=new).headers['Cache-Control'], 'public')
    moved = get('/openapi/v3/apis/apps/v1?hash=0')
    same((moved.code, moved.headers['Location']), (301, where))
    same([get(where, accept=a).code for a in ('text/html', 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf')], [406] * 2)
    same([get(where, accept=a).code for a in ('*/*', 'application/json', '')], [200] * 3)


def t_server_addresses():
    for i, address in enumerate(servers):
        same(good(get('/api', server=i)), {'kind': 'APIVersions', 'versions': ['v1'], 'serverAddressByClientCIDRs': [
            {'clientCIDR': '0.0.0.0/0', 'serverAddress': address + ':6443'}]})


def t_options_in_body_and_query():
    """A DELETE with a body takes its options from there, else from the query; a PATCH has them in the query."""
    ns = namespace('both')
    for name in ('a', 'b', 'c'):
        good(ask('POST', ns + '/configmaps', configmap(name)))
    path = ns + '/configmaps/'
    good(ask('DELETE', path + 'a', dryRun='All'))
    same(get(path + 'a').code, 200)
    good(ask('DELETE', path + 'a', {'kind': 'DeleteOptions', 'apiVersion': 'v1', 'dryRun': ['All']}))
    same(get(path + 'a').code, 200)
    good(ask('DELETE', path + 'a', {'kind': 'DeleteOptions', 'apiVersion': 'v1'}))
    same(get(path + 'a').code, 404)
    refused(ask('DELETE', path + 'b', {'preconditions': {'uid': 'other'}}), 409, 'Conflict')
    good(ask('PATCH', path + 'b', {'data': {'x': 'y'}}, content=PATCH['merge'], dryRun='All', fieldManager='m'))
    same('data' in good(get(path + 'b')), False)
    good(ask('POST', ns + '/configmaps', configmap('d'), dryRun='All', unknown='ignored', pretty='true'), 201)
    same(get(path + 'd').code, 404)
    # A body where none belongs is not read.
    same(good(ask('GET', path + 'c', {'not': 'read'}))['metadata']['name'], 'c')


def t_chunks_trailers_and_continue():
    ns = namespace('chunked') + '/configmaps'
    body = json.dumps(configmap('t')).encode()
    head = (b'POST %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n'
            b'Trailer: X-Sum\r\n\r\n') % ns.encode()
    chunks = b''.join(b'%x;ext="1"\r\n%s\r\n' % (len(body[i:i + 7]), body[i:i + 7]) for i in range(0, len(body), 7))
    answer = raw(head + chunks + b'0\r\nX-Sum: 1\r\nAuthorization: Bearer none\r\n\r\n')  # trailers mean nothing
    holds(answer.startswith(b'HTTP/1.1 201 Created\r\n'), answer)
    answer = raw(head + chunks + b'0\r\nContent-Length: 5\r\n\r\n')
    holds(answer.startswith(b'HTTP/1.1 400 '), answer)
    # Too large, told before and told by the chunks as they come.
    for told in (b'Content-Length: 4000000\r\n\r\n', b'Expect: 100-continue\r\nContent-Length: 4000000\r\n\r\n',
                 b'Transfer-Encoding: chunked\r\n\r\n' + (b'100000\r\n' + b' ' * 0x100000 + b'\r\n') * 4):
        answer = raw(b'POST %s HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n' % ns.encode() + told)
        holds(answer.startswith(b'HTTP/1.1 413 ') and b'"reason":"RequestEntityTooLarge"' in answer and
              b'limit is 3145728' in answer and b'100 Continue' not in answer, answer[:500])
    # Invited: the invitation comes before the body is sent.
    s = tls.wrap_socket(socket.create_connection((servers[0], 6443), timeout=20), server_hostname=servers[0])
    body = json.dumps(configmap('invited')).encode()
    s.sendall(b'POST %s HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n'
              b'Content-Length: %d\r\n\r\n' % (ns.encode(), len(body)))
    same(s.recv(100), b'HTTP/1.1 100 Continue\r\n\r\n')
    s.sendall(body)
    holds(s.recv(1000).startswith(b'HTTP/1.1 201 '))
    s.close()


def t_content_encoding():
    import gzip
    ns = namespace('zipped') + '/configmaps'
    body = json.dumps(configmap('z', data={'k': 'v' * 10000})).encode()
    good(ask('POST', ns, gzip.compress(body), headers={'Content-Encoding': 'gzip'}), 201)
    same(len(good(get(ns + '/z'))['data']['k']), 10000)
    refused(ask('POST', ns, body, headers={'Content-Encoding': 'br'}), 415, 'UnsupportedMediaType')
    refused(ask('POST', ns, body, headers={'Content-Encoding': 'gzip'}), 400, 'BadRequest')
    bomb = gzip.compress(b' ' * (8 << 20))
    refused(ask('POST', ns, bomb, headers={'Content-Encoding': 'gzip'}), 413, 'RequestEntityTooLarge')


def t_retry_after():
    """Said where waiting helps, in the head and in the Status alike."""
    ns = CORE + 'default/configmaps'
    far = int(good(get(ns))['metadata']['resourceVersion']) + 10 ** 9
    body = refused(get(ns, resourceVersion=str(far), timeoutSeconds=1), 504, 'Timeout')
    holds(body['details']['retryAfterSeconds'] >= 1, body)
    same(get(ns, resourceVersion=str(far)).headers['Retry-After'], str(body['details']['retryAfterSeconds']))
    same(get(ns + '/none').headers.get('Retry-After'), None)


main(globals())
