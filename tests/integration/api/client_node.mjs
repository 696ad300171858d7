// The client library of JavaScript (npm's @kubernetes/client-node): typed objects, patches, and its informer.
//
// usage: node client_node.mjs LIBRARY KUBECONFIG [informer MARK]: with informer, follows ConfigMaps until one named "last"
// comes, while the caller kills servers; it makes MARK once it follows.
import { writeFileSync } from 'node:fs';
import assert from 'node:assert/strict';

const [library, kubeconfig, mode, mark] = process.argv.slice(2);
const k8s = await import(library);
const config = new k8s.KubeConfig();
config.loadFromFile(kubeconfig);
const core = config.makeApiClient(k8s.CoreV1Api), apps = config.makeApiClient(k8s.AppsV1Api);
const namespace = 'js';
const sleep = (ms) => new Promise((r) => setTimeout(r, ms));

async function eventually(condition) {
    for (let i = 0; i < 150; i++) {
        if (await condition()) return;
        await sleep(100);
    }
    assert.fail('never became true');
}
async function fails(code, call) {
    await assert.rejects(call, (e) => (assert.equal(e.code, code), true));
}

async function typedObjects() {
    await core.createNamespace({ body: { metadata: { name: namespace } } });
    const made = await core.createNamespacedConfigMap({ namespace, body: { metadata: { name: 'c' }, data: { a: '1' } } });
    const read = await core.readNamespacedConfigMap({ name: 'c', namespace });
    assert.deepEqual(read, made);
    assert.ok(read.metadata.creationTimestamp instanceof Date);
    read.data.a = '2';
    await core.replaceNamespacedConfigMap({ name: 'c', namespace, body: read });
    await fails(409, core.replaceNamespacedConfigMap({ name: 'c', namespace, body: read }));
    const patched = await core.patchNamespacedConfigMap(
        { name: 'c', namespace, body: [{ op: 'add', path: '/data/b', value: '3' }] });
    assert.deepEqual(patched.data, { a: '2', b: '3' });
    const merged = await core.patchNamespacedConfigMap(
        { name: 'c', namespace, body: { data: { b: null } } },
        k8s.setHeaderOptions('Content-Type', k8s.PatchStrategy.MergePatch));
    assert.deepEqual(merged.data, { a: '2' });
    const labels = { app: 'web' };
    await apps.createNamespacedDeployment({ namespace, body: {
        metadata: { name: 'web' }, spec: { replicas: 2, selector: { matchLabels: labels }, template: {
            metadata: { labels }, spec: { containers: [{ name: 'c', image: 'nginx', ports: [{ containerPort: 80 }] }] } } } } });
    await eventually(async () =>
        (await core.listNamespacedPod({ namespace, labelSelector: 'app=web' })).items.length === 2);
    await fails(404, core.readNamespacedPod({ name: 'none', namespace }));
    await fails(422, core.createNamespacedConfigMap({ namespace, body: { metadata: { name: 'B' } } }));
    const objects = k8s.KubernetesObjectApi.makeApiClient(config);
    const lease = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { name: 'l', namespace }, spec: {} };
    await objects.create(lease);
    assert.equal((await objects.read(lease)).kind, 'Lease');
    await objects.delete(lease);
    const listed = await core.listNamespacedConfigMap({ namespace, limit: 1 });
    assert.equal(listed.items.length, 1);
    assert.ok(listed.metadata._continue);
    console.log('ok   typedObjects');
}

// The library's informer: list, watch, and list again after errors.
async function informer() {
    const list = () => core.listNamespacedConfigMap({ namespace: 'default' });
    const follower = k8s.makeInformer(config, '/api/v1/namespaces/default/configmaps', list);
    const seen = new Set();
    let last;
    const done = new Promise((resolve) => { last = resolve; });
    const note = (o) => {
        if (o.metadata.name.startsWith('i')) seen.add(o.metadata.name);
        if (o.metadata.name === 'last') last();
    };
    follower.on('add', note);
    follower.on('update', note);
    follower.on('error', () => setTimeout(() => follower.start().catch(() => {}), 200));
    const start = async () => { try { await follower.start(); } catch { await sleep(200); await start(); } };
    await start();
    writeFileSync(mark, '');
    await done;
    await follower.stop();
    console.log([...seen].join(' '));
}

if (mode === 'informer') await informer();
else await typedObjects();
process.exit(0);
