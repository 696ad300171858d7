"""The API operations of the kinds that conformance tests name."""
from operations import *

CONDITION = {'type': 'StatusUpdate', 'status': 'True', 'reason': 'Conformance', 'message': 'set by a test'}
NOW = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())
DATED = dict(CONDITION, lastTransitionTime=NOW)


def conditions(condition, **more):
    return dict({'conditions': [condition]}, **more)


# ---- sig-api-machinery ----

def t_flow_schema_api_operations():
    operations('flowcontrol.apiserver.k8s.io/v1', 'FlowSchema', 'flows', {'spec': {'matchingPrecedence': 501}},
               conditions(DATED), conditions(dict(DATED, status='False')))


def t_priority_level_configuration_api_operations():
    operations('flowcontrol.apiserver.k8s.io/v1', 'PriorityLevelConfiguration', 'levels',
               {'spec': {'limited': {'nominalConcurrencyShares': 6}}}, conditions(DATED), conditions(dict(DATED, status='False')))


def t_validating_admission_policy_api_operations():
    operations('admissionregistration.k8s.io/v1', 'ValidatingAdmissionPolicy', 'vap', {'spec': {'failurePolicy': 'Ignore'}},
               conditions(DATED), conditions(dict(DATED, status='False')))


def t_validating_admission_policy_binding_api_operations():
    operations('admissionregistration.k8s.io/v1', 'ValidatingAdmissionPolicyBinding', 'vapb', {'spec': {'validationActions': ['Deny']}})


def t_mutating_admission_policy_api_operations():
    operations('admissionregistration.k8s.io/v1', 'MutatingAdmissionPolicy', 'map', {'spec': {'failurePolicy': 'Ignore'}})


def t_mutating_admission_policy_binding_api_operations():
    operations('admissionregistration.k8s.io/v1', 'MutatingAdmissionPolicyBinding', 'mapb', {'spec': {'policyName': 'other'}})


def t_webhook_configurations_keep_match_conditions():
    for kind in ('ValidatingWebhookConfiguration', 'MutatingWebhookConfiguration'):
        tag = kind[:3].lower() + 'hook'
        example = merged(examples()['admissionregistration.k8s.io/v1', kind], {})
        first = [{'name': 'expression-1', 'expression': "object.metadata.namespace == 'production'"}]
        example['webhooks'] = [dict(example['webhooks'][0], matchConditions=first)]
        where = '/apis/admissionregistration.k8s.io/v1/' + RESOURCES['admissionregistration.k8s.io/v1', kind][0]
        do('POST', where, named(example, tag, None, False), 201)
        got = do('GET', where + '/' + tag)
        same(got['webhooks'][0]['matchConditions'], first)
        second = first + [{'name': 'expression-2', 'expression': "object.metadata.namespace == 'staging'"}]
        got['webhooks'][0]['matchConditions'] = second
        do('PUT', where + '/' + tag, got)
        same(do('GET', where + '/' + tag)['webhooks'][0]['matchConditions'], second)
        do('DELETE', where + '/' + tag)
        operations('admissionregistration.k8s.io/v1', kind, tag, {'metadata': {'labels': {'changed': 'yes'}}})


def t_webhook_resources_in_discovery_documents():
    for kind in ('ValidatingWebhookConfiguration', 'MutatingWebhookConfiguration'):
        discovered('admissionregistration.k8s.io/v1', RESOURCES['admissionregistration.k8s.io/v1', kind][0], EVERY, kind)


def t_crd_resources_in_discovery_documents():
    discovered('apiextensions.k8s.io/v1', 'customresourcedefinitions', EVERY, 'CustomResourceDefinition', ['status'])


# ---- sig-apps ----

def t_cron_job_api_operations():
    operations('batch/v1', 'CronJob', 'cron', {'spec': {'schedule': '*/7 * * * *'}}, {'lastScheduleTime': NOW},
               {'lastScheduleTime': '2026-01-02T03:04:05Z'})


def t_job_lifecycle():
    job = merged(examples()['batch/v1', 'Job'], {'spec': {'suspend': True}})
    operations('batch/v1', 'Job', 'job', {'metadata': {'annotations': {'changed': 'yes'}}}, example=job)


def t_job_status():
    ns = space('job-status')
    do('POST', '/apis/batch/v1/namespaces/job-status/jobs', named(merged(examples()['batch/v1', 'Job'], {'metadata': {'namespace': None}}), 'j', 'job-status', True), 201)
    status_of('/apis/batch/v1/namespaces/job-status/jobs/j', {'startTime': NOW}, {'startTime': '2026-01-02T03:04:05Z'})


def t_controller_revision_api_operations():
    operations('apps/v1', 'ControllerRevision', 'revision', {'revision': 3})


def t_daemon_set_api_operations():
    operations('apps/v1', 'DaemonSet', 'daemon', {'spec': {'minReadySeconds': 1}}, conditions(CONDITION), conditions(dict(CONDITION, status='False')))


def t_stateful_set_api_operations():
    operations('apps/v1', 'StatefulSet', 'stateful', {'spec': {'replicas': 0, 'minReadySeconds': 1}}, conditions(CONDITION), conditions(dict(CONDITION, status='False')))
    where = place('apps/v1', 'StatefulSet', 'stateful-a')
    do('POST', where, named(examples()['apps/v1', 'StatefulSet'], 'scaled', 'stateful-a', True), 201)
    scale_of(where + '/scaled')


def scale_of(path, finish=True):
    """Reads, replaces and patches the scale of something that has 0 or more replicas."""
    first = do('GET', path + '/scale')
    same((first['kind'], first['apiVersion'], first['metadata']['name']), ('Scale', 'autoscaling/v1', path.split('/')[-1]))
    put = do('PUT', path + '/scale', merged(first, {'spec': {'replicas': 2}, 'metadata': {'resourceVersion': None}}))
    same((put['spec']['replicas'], do('GET', path)['spec']['replicas']), (2, 2))
    patched = patch(path + '/scale', {'spec': {'replicas': 4}})
    same((patched['spec']['replicas'], do('GET', path)['spec']['replicas']), (4, 4))
    if finish:
        patch(path + '/scale', {'spec': {'replicas': 0}})


def t_pod_disruption_budget_api_operations():
    operations('policy/v1', 'PodDisruptionBudget', 'budget', {'spec': {'minAvailable': 3}})


def t_pod_disruption_budget_status():
    space('budget-status')
    where = place('policy/v1', 'PodDisruptionBudget', 'budget-status')
    do('POST', where, named(examples()['policy/v1', 'PodDisruptionBudget'], 'b', 'budget-status', True), 201)
    eventually(lambda: do('GET', where + '/b').get('status', {}).get('observedGeneration') == 1)
    condition = dict(DATED, type='StatusUpdated')
    status_of(where + '/b', {'conditions': [condition]}, {'conditions': [dict(condition, status='False')]})


# ---- sig-auth ----

def t_certificate_signing_request_api_operations():
    operations('certificates.k8s.io/v1', 'CertificateSigningRequest', 'csr', None,
               {'conditions': [dict(CONDITION, type='StatusUpdate')]}, subs=['approval'])
    where = place('certificates.k8s.io/v1', 'CertificateSigningRequest')
    do('POST', where, named(examples()['certificates.k8s.io/v1', 'CertificateSigningRequest'], 'approved', None, False), 201)
    approval = {'type': 'Approved', 'status': 'True', 'reason': 'Conformance', 'message': 'by a test'}
    now = do('GET', where + '/approved/approval')
    got = do('PUT', where + '/approved/approval', merged(now, {'status': {'conditions': [approval]}}))
    same([(c['type'], c['status']) for c in got['status']['conditions']], [('Approved', 'True')])
    got = patch(where + '/approved/approval', {'metadata': {'annotations': {'patchedapproval': 'true'}}})
    same(got['metadata']['annotations']['patchedapproval'], 'true')
    same([c['type'] for c in do('GET', where + '/approved')['status']['conditions']], ['Approved'])
    do('DELETE', where + '/approved')


# ---- sig-network ----

def t_endpoint_slice_api_operations():
    operations('discovery.k8s.io/v1', 'EndpointSlice', 'slice', {'ports': [{'name': 'b', 'port': 81, 'protocol': 'TCP'}]})


def t_ingress_api_operations():
    operations('networking.k8s.io/v1', 'Ingress', 'ingress', {'spec': {'ingressClassName': 'other'}},
               {'loadBalancer': {'ingress': [{'ip': '169.1.1.1'}]}}, {'loadBalancer': {'ingress': [{'ip': '169.1.1.2'}]}})


def t_ingress_class_api_operations():
    operations('networking.k8s.io/v1', 'IngressClass', 'iclass', {'spec': {'parameters': {'name': 'm'}}})


def t_ip_address_api_operations():
    operations('networking.k8s.io/v1', 'IPAddress', 'ipaddress')


def t_service_cidr_api_operations():
    operations('networking.k8s.io/v1', 'ServiceCIDR', 'cidr', None, conditions(dict(DATED, type='Ready')), conditions(dict(DATED, type='Ready', status='False')))


# ---- sig-node ----

def t_runtime_class_api_operations():
    operations('node.k8s.io/v1', 'RuntimeClass', 'runtime', {'scheduling': {'nodeSelector': {'c': 'd'}}})


def t_pod_template_lifecycle():
    operations('v1', 'PodTemplate', 'template', {'template': {'metadata': {'labels': {'changed': 'yes'}}}})


def t_lease_api():
    operations('coordination.k8s.io/v1', 'Lease', 'lease', {'spec': {'holderIdentity': 'other', 'leaseDurationSeconds': 7}})


def t_node_lifecycle():
    operations('v1', 'Node', 'node', {'spec': {'unschedulable': True}}, example={'apiVersion': 'v1', 'kind': 'Node', 'metadata': {}})


def t_device_class_api_operations():
    operations('resource.k8s.io/v1', 'DeviceClass', 'devices', {'spec': {'selectors': [{'cel': {'expression': 'false'}}]}})


def t_resource_claim_api_operations():
    operations('resource.k8s.io/v1', 'ResourceClaim', 'claim', None,
               {'reservedFor': [{'resource': 'pods', 'name': 'p', 'uid': '1'}],
                'allocation': {'devices': {'results': [{'request': 'r', 'driver': 'd.example.com', 'pool': 'p', 'device': 'd'}]}}})


def t_resource_claim_template_api_operations():
    operations('resource.k8s.io/v1', 'ResourceClaimTemplate', 'claimtemplate', {'metadata': {'labels': {'changed': 'yes'}}})


def t_resource_slice_api_operations():
    operations('resource.k8s.io/v1', 'ResourceSlice', 'rslice', {'spec': {'pool': {'generation': 2}}})


# ---- sig-scheduling ----


def t_priority_class_endpoints():
    operations('scheduling.k8s.io/v1', 'PriorityClass', 'priority', {'description': 'changed'})
    where = '/apis/scheduling.k8s.io/v1/priorityclasses'
    do('POST', where, {'metadata': {'name': 'fixed'}, 'value': 5}, 201)
    for change in ({'value': 6}, {'preemptionPolicy': 'Never'}):
        field = list(change)[0]
        refused(ask('PATCH', where + '/fixed', change, content=PATCH['merge'], server=turn()), 422, 'Invalid')
        refused(ask('PUT', where + '/fixed', merged(do('GET', where + '/fixed'), change), server=turn()), 422, 'Invalid',
                'PriorityClass.scheduling.k8s.io "fixed" is invalid: %s: …' % field)
    do('DELETE', where + '/fixed')


# ---- sig-storage ----

def t_csi_driver_lifecycle():
    operations('storage.k8s.io/v1', 'CSIDriver', 'driver', {'metadata': {'labels': {'changed': 'yes'}}})


def t_csi_node_lifecycle():
    operations('storage.k8s.io/v1', 'CSINode', 'csinode', {'metadata': {'labels': {'changed': 'yes'}}})


def t_csi_storage_capacity_api_operations():
    operations('storage.k8s.io/v1', 'CSIStorageCapacity', 'capacity', {'capacity': '2Gi'})


def t_storage_class_lifecycle():
    operations('storage.k8s.io/v1', 'StorageClass', 'sclass', {'allowVolumeExpansion': True})


def t_volume_attachment_lifecycle():
    operations('storage.k8s.io/v1', 'VolumeAttachment', 'attachment', {'metadata': {'labels': {'changed': 'yes'}}}, {'attached': True}, {'attached': False})


def t_volume_attributes_class_lifecycle():
    operations('storage.k8s.io/v1', 'VolumeAttributesClass', 'vac', {'metadata': {'labels': {'changed': 'yes'}}})


def t_persistent_volume_lifecycle():
    operations('v1', 'PersistentVolume', 'pv', {'spec': {'persistentVolumeReclaimPolicy': 'Delete'}})


def t_persistent_volume_claim_lifecycle():
    operations('v1', 'PersistentVolumeClaim', 'pvc', {'metadata': {'labels': {'changed': 'yes'}}})


def t_persistent_volume_and_claim_status():
    space('pv-status')
    claims, volumes = CORE + 'pv-status/persistentvolumeclaims', '/api/v1/persistentvolumes'
    do('POST', claims, named(examples()['v1', 'PersistentVolumeClaim'], 'c', 'pv-status', True), 201)
    do('POST', volumes, named(examples()['v1', 'PersistentVolume'], 'status-pv', None, False), 201)
    same((do('GET', claims + '/c/status')['status']['phase'], do('GET', volumes + '/status-pv/status')['status']['phase']), ('Pending', 'Pending'))
    status_of(claims + '/c', conditions(dict(CONDITION, lastTransitionTime=NOW)), conditions(dict(DATED, status='False')))
    status_of(volumes + '/status-pv', {'reason': 'Test', 'message': 'patched'}, {'reason': 'Test', 'message': 'put'})
    do('DELETE', claims + '/c')
    do('DELETE', volumes + '/status-pv')
    gone(claims + '/c')
    gone(volumes + '/status-pv')
