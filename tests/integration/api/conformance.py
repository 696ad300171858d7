"""What Kubernetes' conformance tests ask of an API server, its storage and its controllers, by three replicas.

Which function shows which conformance test is in tests/data/conformance.tsv; docs/conformance.md is made from it."""
from conformance_apps import *
from conformance_cli import *
from conformance_core import *
from conformance_kinds import *
from conformance_machinery import *
from conformance_network import *
from lib import main

main(globals())
