# What Kubernetes' conformance tests ask of the servers: tests/integration/api/conformance.py, against three of them.

t_api_conformance() { driven conformance; }
