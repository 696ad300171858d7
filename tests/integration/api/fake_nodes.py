"""Nodes without agents: what an agent would say of its node and of the pods bound to it, said by a thread of the test.

A pod that is bound to such a node runs and is ready at once; one that is deleted is gone at once. So schedulers and
controllers can be seen at work with nothing but servers."""
import threading

from operations import *

_started, _starting = [], threading.Lock()


def _stamp():
    return time.strftime('%Y-%m-%dT%H:%M:%S.000000Z', time.gmtime())


def _lease(name):
    path = CORE.replace('/api/v1', '/apis/coordination.k8s.io/v1') + 'kube-node-lease/leases'
    spec = {'spec': {'holderIdentity': name, 'leaseDurationSeconds': 40, 'renewTime': _stamp()}}
    if ask('PATCH', path + '/' + name, spec, content=PATCH['merge'], server=turn()).code == 404:
        ask('POST', path, merged(spec, {'metadata': {'name': name}}), server=turn())


def _ready(pod_, serial):
    now = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())
    ip = '10.77.%d.%d' % (serial // 250 % 250, serial % 250 + 1)
    return {'phase': 'Running', 'podIP': ip, 'podIPs': [{'ip': ip}], 'hostIP': '192.0.2.1', 'hostIPs': [{'ip': '192.0.2.1'}], 'startTime': now,
            'observedGeneration': pod_['metadata'].get('generation', 1),
            'conditions': [{'type': t, 'status': 'True', 'lastTransitionTime': now} for t in ('PodScheduled', 'Initialized', 'ContainersReady', 'Ready')],
            'containerStatuses': [{'name': c['name'], 'ready': True, 'started': True, 'restartCount': 0, 'image': c['image'], 'imageID': 'i',
                                   'state': {'running': {'startedAt': now}}} for c in pod_['spec']['containers']]}


def _serve(names):
    serial, seen, renewed = 0, {}, 0
    while True:
        try:
            if time.time() - renewed > 5:
                renewed = time.time()
                for n in names:
                    _lease(n)
            for p in good(get('/api/v1/pods', server=turn()))['items']:
                meta = p['metadata']
                path = CORE + meta['namespace'] + '/pods/' + meta['name']
                if p['spec'].get('nodeName') not in names:
                    continue
                if meta.get('deletionTimestamp'):
                    if not p['metadata'].get('finalizers'):
                        ask('DELETE', path, gracePeriodSeconds=0, server=turn())
                elif meta['uid'] not in seen and 'unready' not in meta.get('labels', {}):
                    serial += 1
                    if ask('PATCH', path + '/status', {'metadata': {'uid': meta['uid']}, 'status': _ready(p, serial)}, content=PATCH['merge'], server=turn()).code == 200:
                        seen[meta['uid']] = True
        except (OSError, AssertionError, ValueError):
            pass
        time.sleep(0.15)


def fake_nodes(count=2, cpu='4'):
    """Makes them once, ready; returns their names."""
    with _starting:
        _make(count, cpu)
    return list(_started)


def _make(count, cpu):
    if not _started:
        _started.extend('fake-%d' % i for i in range(count))
        for name in _started:
            do('POST', '/api/v1/nodes', {'metadata': {'name': name, 'labels': {'kubernetes.io/hostname': name}}}, 201)
            _lease(name)
            amounts = {'cpu': cpu, 'memory': '16Gi', 'ephemeral-storage': '100Gi', 'pods': '400'}
            patch('/api/v1/nodes/%s/status' % name, {'status': {
                'capacity': amounts, 'allocatable': amounts, 'addresses': [{'type': 'InternalIP', 'address': '192.0.2.%d' % (len(_started) + 1)}],
                'conditions': [{'type': 'Ready', 'status': 'True', 'reason': 'KubeletReady', 'lastHeartbeatTime': _stamp()[:19] + 'Z', 'lastTransitionTime': _stamp()[:19] + 'Z'}]}})
        threading.Thread(target=_serve, args=(list(_started),), daemon=True).start()
        for name in _started:
            eventually(lambda: not do('GET', '/api/v1/nodes/' + name)['spec'].get('taints'))
