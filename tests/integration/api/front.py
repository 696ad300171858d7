"""One address for several servers, as a load balancer gives: passes connections on to the address that a file names at
that moment. usage: front.py LISTEN FILE"""
import socket
import sys
import threading

listen, target = sys.argv[1:]


def pump(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
    except OSError:
        pass
    for s in (a, b):
        try:
            s.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


with socket.create_server((listen, 6443)) as server:
    while True:
        near, _ = server.accept()
        try:
            far = socket.create_connection((open(target).read().strip(), 6443), 2)
            far.settimeout(None)
        except OSError:
            near.close()
            continue
        for pair in ((near, far), (far, near)):
            threading.Thread(target=pump, args=pair, daemon=True).start()
