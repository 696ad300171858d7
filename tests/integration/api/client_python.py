"""The kubernetes client library of Python (Debian's python3-kubernetes): typed objects, patches, watches that go on.

usage: client_python.py KUBECONFIG [informer MARK]: with informer, follows ConfigMaps until one named "last" comes, while
the caller kills servers; it makes MARK once it follows."""
import sys
import threading
import time

from kubernetes import client, config, utils, watch
from kubernetes.client.rest import ApiException

config.load_kube_config(sys.argv[1])
core, apps, batch = client.CoreV1Api(), client.AppsV1Api(), client.BatchV1Api()


def same(got, expected):
    if got != expected:
        raise AssertionError('expected: %r\n but got: %r' % (expected, got))


def fails(code, call, *args, **kw):
    try:
        call(*args, **kw)
    except ApiException as e:
        same(e.status, code)
        return e
    raise AssertionError('should have failed with %d' % code)


def eventually(condition):
    for _ in range(150):
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError('never became true')


def typed_objects():
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name='py')))
    made = core.create_namespaced_config_map('py', client.V1ConfigMap(metadata=client.V1ObjectMeta(name='c'), data={'a': '1'}))
    same(core.read_namespaced_config_map('c', 'py').to_dict(), made.to_dict())
    made.data['a'] = '2'
    put = core.replace_namespaced_config_map('c', 'py', made)
    same(put.data, {'a': '2'})
    same(fails(409, core.replace_namespaced_config_map, 'c', 'py', made).reason, 'Conflict')
    same(core.patch_namespaced_config_map('c', 'py', {'data': {'b': '3'}}).data, {'a': '2', 'b': '3'})
    same(core.patch_namespaced_config_map('c', 'py', [{'op': 'remove', 'path': '/data/b'}]).data, {'a': '2'})
    secret = core.create_namespaced_secret('py', client.V1Secret(metadata=client.V1ObjectMeta(generate_name='s-'),
                                                                 string_data={'k': 'v'}))
    same(secret.data, {'k': 'dg=='})
    labels = {'app': 'web'}
    container = client.V1Container(name='c', image='nginx', ports=[client.V1ContainerPort(container_port=80)],
                                   resources=client.V1ResourceRequirements(requests={'cpu': '100m'}))
    apps.create_namespaced_deployment('py', client.V1Deployment(
        metadata=client.V1ObjectMeta(name='web'), spec=client.V1DeploymentSpec(
            replicas=2, selector=client.V1LabelSelector(match_labels=labels), template=client.V1PodTemplateSpec(
                metadata=client.V1ObjectMeta(labels=labels), spec=client.V1PodSpec(containers=[container])))))
    eventually(lambda: len(core.list_namespaced_pod('py', label_selector='app=web').items) == 2)
    same(apps.patch_namespaced_deployment_scale('web', 'py', {'spec': {'replicas': 1}}).spec.replicas, 1)
    eventually(lambda: len(core.list_namespaced_pod('py', label_selector='app=web').items) == 1)
    same(apps.read_namespaced_deployment('web', 'py').spec.strategy.rolling_update.max_surge, '25%')
    utils.create_from_dict(client.ApiClient(), {
        'apiVersion': 'batch/v1', 'kind': 'Job', 'metadata': {'name': 'j', 'namespace': 'py'},
        'spec': {'template': {'spec': {'restartPolicy': 'Never', 'containers': [{'name': 'c', 'image': 'i'}]}}}})
    same(batch.read_namespaced_job('j', 'py').spec.completions, 1)
    review = client.AuthorizationV1Api().create_self_subject_access_review(client.V1SelfSubjectAccessReview(
        spec=client.V1SelfSubjectAccessReviewSpec(resource_attributes=client.V1ResourceAttributes(
            verb='create', resource='pods', namespace='py'))))
    same(review.status.allowed, True)
    same(client.VersionApi().get_code().major, '1')
    fails(404, core.read_namespaced_pod, 'none', 'py')
    fails(422, core.create_namespaced_config_map, 'py', client.V1ConfigMap(metadata=client.V1ObjectMeta(name='B')))


def pages():
    for i in range(7):
        core.create_namespaced_config_map('py', client.V1ConfigMap(metadata=client.V1ObjectMeta(name='p%d' % i)))
    names, more = [], None
    while True:
        page = core.list_namespaced_config_map('py', limit=3, _continue=more)
        names += [i.metadata.name for i in page.items]
        more = page.metadata._continue
        if not more:
            break
    same(names, sorted(i.metadata.name for i in core.list_namespaced_config_map('py').items))


def watches():
    listed = core.list_namespaced_config_map('py')
    w, seen = watch.Watch(), []

    def change():
        time.sleep(0.5)
        core.create_namespaced_config_map('py', client.V1ConfigMap(metadata=client.V1ObjectMeta(name='w')))
        core.patch_namespaced_config_map('w', 'py', {'data': {'k': 'v'}})
        time.sleep(2) # longer than one watch lasts: the library goes on from the last revision
        core.delete_namespaced_config_map('w', 'py')
    t = threading.Thread(target=change)
    t.start()
    revision = listed.metadata.resource_version
    while len(seen) < 3:
        for event in w.stream(core.list_namespaced_config_map, 'py', resource_version=revision, timeout_seconds=1):
            seen.append((event['type'], event['object'].metadata.name))
            revision = event['object'].metadata.resource_version
    t.join()
    same(seen, [('ADDED', 'w'), ('MODIFIED', 'w'), ('DELETED', 'w')])


def informer(mark):
    """A list, then watches from where the last one ended, over whatever happens to the servers."""
    w, seen, known = watch.Watch(), [], None
    open(mark, 'w').close()
    while True:
        try:
            if known is None:
                listed = core.list_namespaced_config_map('default', _request_timeout=5)
                seen = [i.metadata.name for i in listed.items]
                known = listed.metadata.resource_version
            for event in w.stream(core.list_namespaced_config_map, 'default', resource_version=known, timeout_seconds=10,
                                  _request_timeout=12):
                known = event['object'].metadata.resource_version
                seen.append(event['object'].metadata.name)
                if seen[-1] == 'last':
                    seen = [s for s in seen if s.startswith('i')]
                    print(' '.join(seen))
                    return
        except ApiException as e:
            known = None if e.status == 410 else known
            time.sleep(0.1)
        except Exception: # the connection's: the server was killed
            time.sleep(0.1)


if len(sys.argv) > 2:
    informer(sys.argv[3])
else:
    for test in (typed_objects, pages, watches):
        test()
        print('ok   ' + test.__name__)
