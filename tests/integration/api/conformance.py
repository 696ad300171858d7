"""What Kubernetes' conformance tests ask of an API server, its storage and its controllers, by three replicas.

Which function shows which conformance test is in tests/data/conformance.tsv; docs/conformance.md is made from it."""
from conformance_kinds import *
from conformance_machinery import *
from lib import main

main(globals())
