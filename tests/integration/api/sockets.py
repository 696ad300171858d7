"""Watches over WebSockets, with a client library that is not ours (websocket-client)."""
import threading

import websocket

from lib import *


class Socket:
    def __init__(self, path, server=0, protocols=None, headers=(), certificate=True, timeout=20, **options):
        options.setdefault('watch', 'true')
        ssl_options = {'ca_certs': pki + '/ca.crt'}
        if certificate:
            ssl_options.update(certfile=pki + '/admin.crt', keyfile=pki + '/admin.key')
        self.ws = websocket.WebSocket(sslopt=ssl_options)
        self.ws.settimeout(timeout)
        self.ws.connect('wss://%s:6443%s' % (servers[server], query(path, **options)), subprotocols=protocols,
                        header=list(headers), enable_multithread=False)

    def message(self):
        """The next one: (opcode, bytes)."""
        code, data = self.ws.recv_data()
        return code, data

    def event(self):
        code, data = self.message()
        same(code, websocket.ABNF.OPCODE_TEXT, data)
        return json.loads(data)

    def closed(self):
        """The code of the close that comes next."""
        code, data = self.message()
        same(code, websocket.ABNF.OPCODE_CLOSE, data)
        return int.from_bytes(data[:2], 'big')

    def end(self):
        self.ws.close(timeout=2)


def refuses(code, *arguments, **options):
    try:
        Socket(*arguments, **options)
    except websocket.WebSocketBadStatusException as e:
        same(e.status_code, code)
        return e
    raise AssertionError('was not refused')


def revision(path):
    return good(get(path, limit=1))['metadata']['resourceVersion']


def t_events():
    """Each event is a message, and byte for byte what a watch over HTTP sends."""
    ns = namespace('sockets') + '/configmaps'
    at = revision(ns)
    s = Socket(ns, resourceVersion=at)
    same(s.ws.subprotocol, None)
    made = good(ask('POST', ns, configmap('c')))
    same(s.event(), {'type': 'ADDED', 'object': made})
    for i in range(3):
        good(ask('PATCH', ns + '/c', {'data': {'k': 'v' * 10 ** (i + 3)}}, content=PATCH['merge']))
    good(ask('DELETE', ns + '/c'))
    over_socket = [s.message()[1] for _ in range(4)]
    c = connect()
    c.request('GET', query(ns, watch=1, resourceVersion=at, timeoutSeconds=1))
    same(c.getresponse().read().splitlines(True)[1:], over_socket)
    s.end()
    eventually(lambda: open_watches(ns) == 0)


def open_watches(ns):
    """The server counts all; those of controllers stay."""
    text = get('/metrics').raw.decode()
    now = int(float([l.split()[-1] for l in text.splitlines() if l.startswith('apiserver_longrunning_requests')][0]))
    open_watches.least = min(now, getattr(open_watches, 'least', now))
    return now - open_watches.least


def t_initial_events_and_bookmarks():
    ns = namespace('begun') + '/configmaps'
    good(ask('POST', ns, configmap('a')))
    s = Socket(ns, sendInitialEvents='true', resourceVersionMatch='NotOlderThan', allowWatchBookmarks='true',
               timeoutSeconds=2)
    first, second, mark = s.event(), s.event(), s.event()
    same([brief(first), brief(second)], [('ADDED', 'a'), ('ADDED', 'kube-root-ca.crt')])
    same(mark['object']['metadata']['annotations'], {'k8s.io/initial-events-end': 'true'})
    same(s.closed(), 1000)  # timeoutSeconds


def t_shapes():
    ns = namespace('sshaped') + '/configmaps'
    s = Socket(ns, headers=['Accept: ' + TABLE], fieldSelector='metadata.name=kube-root-ca.crt')
    same(s.event()['object']['kind'], 'Table')
    s = Socket(ns, headers=['Accept: ' + PARTIAL], fieldSelector='metadata.name=kube-root-ca.crt')
    event = s.event()
    same((event['object']['kind'], 'data' in event['object']), ('PartialObjectMetadata', False))


def t_protobuf():
    """Binary messages: the same WatchEvents as over HTTP, without the length before each."""
    ns = namespace('sproto') + '/configmaps'
    accept = 'application/vnd.kubernetes.protobuf;stream=watch'
    s = Socket(ns, headers=['Accept: ' + accept], sendInitialEvents='true', resourceVersionMatch='NotOlderThan',
               allowWatchBookmarks='true')
    got = [s.message(), s.message()]
    same([code for code, _ in got], [websocket.ABNF.OPCODE_BINARY] * 2)
    raw = ask('GET', ns, watch=1, accept=accept, sendInitialEvents='true', resourceVersionMatch='NotOlderThan',
              timeoutSeconds=1).raw
    length = int.from_bytes(raw[:4], 'big')
    same(got[0][1], raw[4:4 + length])
    holds(b'k8s\x00' in got[0][1] and got[0][1].startswith(b'\n\x05ADDED'), got[0][1])


def t_subprotocols():
    ns = CORE + 'default/configmaps'
    for offered in ('binary.k8s.io', 'base64.binary.k8s.io', 'v4.channel.k8s.io'):
        s = Socket(ns, protocols=[offered])
        same(s.ws.subprotocol, offered)
        same(s.event()['type'], 'ADDED')


def service_account_token():
    ns = namespace('stoken')
    good(ask('POST', '/apis/rbac.authorization.k8s.io/v1/namespaces/stoken/rolebindings', {
        'metadata': {'name': 'view'}, 'roleRef': {'apiGroup': 'rbac.authorization.k8s.io', 'kind': 'ClusterRole', 'name': 'view'},
        'subjects': [{'kind': 'ServiceAccount', 'name': 'default', 'namespace': 'stoken'}]}))
    made = good(ask('POST', ns + '/serviceaccounts/default/token', {'spec': {}}), 201)
    return made['status']['token']


def t_token_as_subprotocol():
    token = service_account_token()
    text = base64.urlsafe_b64encode(token.encode()).decode().rstrip('=')
    carrier, ns = 'base64url.bearer.authorization.k8s.io.' + text, CORE + 'stoken/configmaps'
    eventually(lambda: get(ns, headers={'Authorization': 'Bearer ' + token}).code == 200)
    s = Socket(ns, certificate=False, protocols=[carrier, 'binary.k8s.io'])
    same(s.ws.subprotocol, 'binary.k8s.io')
    same(brief(s.event()), ('ADDED', 'kube-root-ca.crt'))
    refuses(401, ns, certificate=False)
    refuses(401, ns, certificate=False, protocols=[carrier])  # nothing to answer with
    refuses(401, ns, certificate=False, protocols=[carrier, carrier, 'binary.k8s.io'])
    refuses(401, ns, certificate=False, protocols=[carrier + 'x', 'binary.k8s.io'])
    refuses(401, ns, certificate=False, protocols=[carrier[:-len(text)] + '*', 'binary.k8s.io'])
    refuses(403, CORE + 'default/configmaps', certificate=False, protocols=[carrier, 'binary.k8s.io'])
    # It is for WebSockets only.
    c = http.client.HTTPSConnection(servers[0], 6443, context=ssl.create_default_context(cafile=pki + '/ca.crt'))
    c.request('GET', ns, headers={'Sec-WebSocket-Protocol': carrier + ', binary.k8s.io'})
    same(c.getresponse().status, 401)


def t_refusals():
    ns = CORE + 'default/configmaps'
    refuses(404, CORE + 'default/gizmos')
    refuses(406, ns, headers=['Accept: application/cbor'])
    refuses(400, ns, labelSelector='a b')
    e = ask('GET', ns, watch=1, headers={'Connection': 'Upgrade', 'Upgrade': 'websocket', 'Sec-WebSocket-Version': '8',
                                         'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ=='})
    refused(e, 400, 'BadRequest')
    same(e.headers['Sec-WebSocket-Version'], '13')
    # What is no watch is answered as ever.
    same(ask('GET', ns, headers={'Connection': 'Upgrade', 'Upgrade': 'websocket'}).body['kind'], 'ConfigMapList')


def t_pings_and_large_messages():
    ns = CORE + 'default/configmaps'
    s = Socket(ns, resourceVersion=revision(ns))
    s.ws.ping('there?')
    frame = s.ws.recv_frame()
    same((frame.opcode, frame.data), (websocket.ABNF.OPCODE_PONG, b'there?'))
    s.ws.send('what a client says is dropped')
    s.ws.send(b'x' * 65536)
    good(ask('POST', ns, configmap('pinged')))
    same(brief(s.event()), ('ADDED', 'pinged'))
    good(ask('DELETE', ns + '/pinged'))
    same(s.event()['type'], 'DELETED')
    s.ws.send(b'x' * 65537)
    same(s.closed(), 1009)


def t_too_old():
    ns = '/apis/coordination.k8s.io/v1/namespaces/sold/leases'
    namespace('sold')
    good(ask('POST', ns, {'metadata': {'name': 'hot'}, 'spec': {}}))
    then = revision(ns)
    for i in range(300):
        big = {'metadata': {'annotations': {'fill': '%03d' % i + 'x' * 250000}}}
        good(ask('PATCH', ns + '/hot', big, content=PATCH['merge'], accept=PARTIAL))
        if i % 20 == 19 and get(ns, resourceVersion=then, resourceVersionMatch='Exact', accept=TABLE).code == 410:
            break
    s = Socket(ns, resourceVersion=then)
    event = s.event()
    same((event['type'], event['object']['code'], event['object']['reason']), ('ERROR', 410, 'Expired'))
    same(s.closed(), 1000)


def t_over_kills():
    """Follows 60 changes from server to server while they are killed (the shell does that); misses and repeats none."""
    ns = CORE + 'default/configmaps'
    at, seen, server, lost = revision(ns), [], 0, 0
    print('following', flush=True)
    s, end = None, time.time() + 90
    while len(seen) < 60 and time.time() < end:
        try:
            s = s or Socket(ns, server=server, resourceVersion=at, timeout=5)
            event = s.event()
            at = event['object']['metadata']['resourceVersion']
            seen.append(event['object']['metadata']['name'])
        except (OSError, websocket.WebSocketException, AssertionError):
            s, server, lost = None, (server + 1) % len(servers), lost + 1
            time.sleep(0.2)
    same(seen, ['k%d' % i for i in range(1, 61)])
    holds(lost > 0, 'nobody was killed')


main(globals())
