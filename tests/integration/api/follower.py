"""Writes through one follower while its leader is killed: each is answered, and done once.

The caller kills the leader; ADDRESS is the follower's."""
import threading

from lib import *


def t_writes_through_a_follower():
    ns = CORE + 'default/configmaps'
    counter = good(ask('POST', ns, configmap('counter', data={'n': '0'})))
    end, codes, lock = time.time() + 8, {}, threading.Lock()
    made, raised = set(), [0]

    def note(answer):
        with lock:
            codes[answer.code] = codes.get(answer.code, 0) + 1

    def create():
        while time.time() < end:
            answer = ask('POST', ns, {'metadata': {'generateName': 'w-', 'labels': {'load': 'yes'}}})
            note(answer)
            if answer.code == 201:
                with lock:
                    made.add(answer.body['metadata']['name'])

    def count():
        current = counter
        while time.time() < end:
            current['data']['n'] = str(int(current['data']['n']) + 1)
            answer = ask('PUT', ns + '/counter', current)
            note(answer)
            if answer.code == 200:
                raised[0] += 1
                same(answer.body['data']['n'], str(raised[0]))
            current = good(get(ns + '/counter'))
    threads = [threading.Thread(target=create) for _ in range(3)] + [threading.Thread(target=count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    print(codes)
    there = {i['metadata']['name'] for i in good(get(ns, labelSelector='load=yes'))['items']}
    holds(len(made) > 100, codes)
    same(set(codes), {200, 201}, codes)
    same(there, made)
    same(good(get(ns + '/counter'))['data']['n'], str(raised[0]))


main(globals())
