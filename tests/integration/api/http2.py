"""Watches over HTTP/2, with a client library that is not ours (hyper-h2): many on one connection, cancelled ones, readers
that stop, fairness, and the server's goodbye."""
import socket

import h2.config
import h2.connection
import h2.events
import h2.settings

from lib import *


class Stream:
    def __init__(self):
        self.head, self.data, self.events, self.ended, self.reset, self.bytes = None, b'', [], False, None, 0


class Http2:
    """One connection. Windows are given back as data comes, unless a stream is in `shut`."""
    def __init__(self, server=0, window=65535, alpn=('h2',)):
        context = ssl.create_default_context(cafile=pki + '/ca.crt')
        context.load_cert_chain(pki + '/admin.crt', pki + '/admin.key')
        context.set_alpn_protocols(list(alpn))
        plain = socket.create_connection((servers[server], 6443), timeout=20)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = context.wrap_socket(plain, server_hostname=servers[server])
        self.protocol = self.socket.selected_alpn_protocol()
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding='utf-8'))
        self.streams, self.shut, self.goaway, self.over, self.pongs = {}, set(), None, False, 0
        self.host = servers[server]
        self.h2.initiate_connection()
        self.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.h2.increment_flow_control_window(1 << 24)
        self.flush()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def ask(self, path, method='GET', accept=None, **options):
        i = self.h2.get_next_available_stream_id()
        headers = [(':method', method), (':scheme', 'https'), (':authority', self.host), (':path', query(path, **options))]
        self.h2.send_headers(i, headers + ([('accept', accept)] if accept else []), end_stream=True)
        self.streams[i] = Stream()
        return i

    def watch(self, path, **options):
        return self.ask(path, watch='true', **options)

    def cancel(self, i):
        self.h2.reset_stream(i, 8)
        self.flush()

    def read(self, timeout=20):
        """What comes next; False when nothing does in that time or the connection is over."""
        self.socket.settimeout(timeout)
        try:
            data = self.socket.recv(65536)
        except socket.timeout:
            return False
        if not data:
            self.over = True
            return False
        for e in self.h2.receive_data(data):
            self.take(e)
        self.flush()
        return True

    def take(self, e):
        s = self.streams.get(getattr(e, 'stream_id', None))
        if isinstance(e, h2.events.ResponseReceived):
            s.head = dict(e.headers)
        elif isinstance(e, h2.events.DataReceived):
            s.bytes += len(e.data)
            s.data += e.data
            lines = s.data.split(b'\n')
            s.events += [json.loads(l) for l in lines[:-1]] if s.head.get('content-type') == 'application/json' else []
            s.data = lines[-1]
            n = e.flow_controlled_length
            if n:
                self.h2.increment_flow_control_window(n)
            if e.stream_id not in self.shut and n:
                try:
                    self.h2.increment_flow_control_window(n, e.stream_id)
                except h2.exceptions.StreamClosedError:
                    pass
        elif isinstance(e, h2.events.StreamEnded):
            s.ended = True
        elif isinstance(e, h2.events.StreamReset):
            s.reset = e.error_code
        elif isinstance(e, h2.events.ConnectionTerminated):
            self.goaway = e
        elif isinstance(e, h2.events.PingAckReceived):
            self.pongs += 1

    def until(self, condition, seconds=30):
        self.flush()
        end = time.time() + seconds
        while not condition():
            holds(time.time() < end and not self.over, 'never came: over %s, goaway %s' % (self.over, self.goaway))
            self.read(1)

    def get(self, path, **options):
        i = self.ask(path, **options)
        self.until(lambda: self.streams[i].ended)
        return self.streams[i]

    def close(self):
        self.socket.close()


def revision(path):
    return good(get(path, limit=1))['metadata']['resourceVersion']


def watches_open(connection=None):
    text = get('/metrics').raw.decode()
    return int(float([l.split()[-1] for l in text.splitlines() if l.startswith('apiserver_longrunning_requests')][0]))


def t_alpn():
    same(Http2().protocol, 'h2')
    same(Http2(alpn=('h2', 'http/1.1')).protocol, 'h2')
    same(Http2(alpn=('http/1.1', 'h2')).protocol, 'h2')  # the server prefers it
    context = ssl.create_default_context(cafile=pki + '/ca.crt')
    for offered, chosen in ((['http/1.1'], 'http/1.1'), (None, None)):
        if offered:
            context.set_alpn_protocols(offered)
        s = context.wrap_socket(socket.create_connection((servers[0], 6443)), server_hostname=servers[0])
        s.sendall(b'GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n')
        holds(s.recv(100).startswith(b'HTTP/1.1 200'))
        same(s.selected_alpn_protocol() in (chosen, 'http/1.1'), True)


def t_watches():
    """Changes, bookmarks, shapes and the end by timeoutSeconds on streams of one connection."""
    ns = namespace('two') + '/configmaps'
    c = Http2()
    changes = c.watch(ns, resourceVersion=revision(ns))
    listed = c.watch(ns, sendInitialEvents='true', resourceVersionMatch='NotOlderThan', allowWatchBookmarks='true', timeoutSeconds=2)
    table = c.watch(ns, accept=TABLE, fieldSelector='metadata.name=kube-root-ca.crt', timeoutSeconds=1)
    at = {k: c.streams[k] for k in (changes, listed, table)}
    c.until(lambda: len(at[listed].events) == 2)
    same(brief(at[listed].events[0]), ('ADDED', 'kube-root-ca.crt'))
    same(at[listed].events[1]['object']['metadata']['annotations'], {'k8s.io/initial-events-end': 'true'})
    made = good(ask('POST', ns, configmap('c')))
    c.until(lambda: at[changes].events and len(at[listed].events) == 3)
    same(at[changes].events, [{'type': 'ADDED', 'object': made}])
    same(at[listed].events[2], at[changes].events[0])
    c.until(lambda: at[listed].ended and at[table].ended)
    same(at[table].events[0]['object']['kind'], 'Table')
    same((at[changes].ended, at[changes].reset), (False, None))
    same(at[changes].head[':status'], '200')
    c.close()


def t_many_on_one_connection():
    """1,000 watches, as many as are advertised: all get every event; one more is refused or waits; cancelled ones end."""
    ns = namespace('many') + '/configmaps'
    before = watches_open()
    c = Http2()
    c.until(lambda: h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS in c.h2.remote_settings)
    same(c.h2.remote_settings.max_concurrent_streams, 1000)
    at = revision(ns)
    ids = [c.watch(ns, resourceVersion=at) for _ in range(1000)]
    try:
        c.watch(ns)
        raise AssertionError('more than was advertised')
    except h2.exceptions.TooManyStreamsError:
        pass
    c.until(lambda: all(c.streams[i].head for i in ids))
    for i in range(3):
        good(ask('POST', ns, configmap('m%d' % i)))
    c.until(lambda: all(len(c.streams[i].events) == 3 for i in ids))
    for i in ids:
        same([brief(e) for e in c.streams[i].events], [('ADDED', 'm%d' % k) for k in range(3)])
    holds(watches_open() - before >= 1000)
    for i in ids[:900]:
        c.cancel(i)
    eventually(lambda: watches_open() - before <= 110)
    good(ask('POST', ns, configmap('last')))
    c.until(lambda: all(len(c.streams[i].events) == 4 for i in ids[900:]))
    holds(not any(c.streams[i].ended or c.streams[i].reset for i in ids[900:]))
    c.close()
    eventually(lambda: watches_open() - before <= 10)


def t_fair():
    """100 lists that are all far larger than what is under way: at any time the least has at least half of the most."""
    ns = namespace('fairness') + '/configmaps'
    for i in range(15):
        good(ask('POST', ns, configmap('f%d' % i, data={'k': 'x' * 100000})))
    c = Http2(window=1 << 16)
    ids = [c.ask(ns) for _ in range(100)]
    c.flush()
    worst = 1
    while not any(c.streams[i].ended for i in ids):
        holds(c.read(20), 'nothing comes')
        got = [c.streams[i].bytes for i in ids]
        if min(got) > 300000:
            worst = min(worst, min(got) / max(got))
    print('least of most: %.2f' % worst)
    holds(worst >= 0.5, worst)
    c.until(lambda: all(c.streams[i].ended for i in ids), 60)
    same(len({c.streams[i].bytes for i in ids}), 1)
    c.close()


def memory(server=0):
    text = get('/metrics', server=server).raw.decode()
    return [float(l.split()[-1]) for l in text.splitlines() if l.startswith('process_resident_memory_bytes')]


def t_stalled_reader():
    """A watcher that takes nothing keeps no other from its events; what waits for it is not kept for it alone."""
    ns = namespace('stalled') + '/configmaps'
    good(ask('POST', ns, configmap('s', data={'k': ''})))
    c = Http2(window=30000)
    at = revision(ns)
    shut = [c.watch(ns, resourceVersion=at) for _ in range(20)]
    c.shut.update(shut)
    live = c.watch(ns, resourceVersion=at)
    c.flush()
    before = memory()
    for i in range(100):
        good(ask('PATCH', ns + '/s', {'data': {'k': '%d' % i * 20000}}, content=PATCH['merge'], accept=PARTIAL))
        c.until(lambda: len(c.streams[live].events) == i + 1)
    same(c.streams[live].events[-1]['object']['data']['k'][:4], '9999')
    for i in shut:
        holds(c.streams[i].bytes <= 30000, c.streams[i].bytes)
    if before:  # 20 watchers × 4 MB of events were not copied
        holds(memory()[0] - before[0] < 40 << 20, (before, memory()))
    # Once it reads again it gets all of them, in order.
    one = shut[0]
    c.shut.discard(one)
    c.h2.increment_flow_control_window(c.streams[one].bytes, one)
    c.until(lambda: len(c.streams[one].events) == 100)
    revisions = [int(e['object']['metadata']['resourceVersion']) for e in c.streams[one].events]
    same(revisions, sorted(revisions))
    c.close()


def t_resets_are_bounded():
    """Requests that are reset at once, for ever: GOAWAY with ENHANCE_YOUR_CALM, long before a second's worth is done."""
    c = Http2()
    sent = 0
    try:
        while not c.goaway and not c.over and sent < 20000:
            for _ in range(100):
                i = c.ask('/api/v1/pods')
                c.h2.reset_stream(i, 8)
                sent += 1
            c.flush()
            while c.read(0.001):
                pass
    except (OSError, h2.exceptions.ProtocolError):
        pass
    same(c.goaway and c.goaway.error_code, 0xb)
    holds(2000 <= sent < 6000, sent)
    same(Http2().get('/livez').head[':status'], '200')


def t_goodbye():
    """The server is told to end (by the shell): GOAWAY without error, and the watches end, before the connection does."""
    c = Http2(server=2)
    ids = [c.watch('/api/v1/nodes') for _ in range(5)]
    c.until(lambda: all(c.streams[i].head for i in ids))
    print('watching', flush=True)
    c.socket.settimeout(30)
    rest, frames = b'', []  # the library reads nothing behind a GOAWAY
    while data := c.socket.recv(65536):
        rest += data
    while rest:
        n = int.from_bytes(rest[:3], 'big')
        frames.append((rest[3], rest[4], int.from_bytes(rest[5:9], 'big'), rest[9:9 + n]))
        rest = rest[9 + n:]
    away = [int.from_bytes(payload[4:8], 'big') for kind, _, _, payload in frames if kind == 7]
    holds(away and not any(away), away)
    same(sorted(stream for kind, flags, stream, _ in frames if kind == 0 and flags & 1), sorted(ids))
    same([f for f in frames if f[0] == 3], [])


main(globals())
