#ifndef PINTLE_APISERVER_OPENAPI_H
#define PINTLE_APISERVER_OPENAPI_H

struct api_request;

/* Serves /openapi/v2, in JSON and protobuf. */
void api_openapi_v2(struct api_request *r);
/* Serves /openapi/v3 (the index) and /openapi/v3/api/v1, /openapi/v3/apis/GROUP/VERSION and so on, in JSON. */
void api_openapi_v3(struct api_request *r);

#endif
