/* The contract between client and mapping server, version 1: JSON over HTTPS. The one place that names its fields and
 * limits.
 *
 * GET  /.well-known/pail-configuration
 *   {"version":1,"issuer":S,"client_id":S,"audience":S,"scopes":[S],"loopback_ports":[N],"modes":[MODE]}
 *   MODE: "presigned"; "credentials" only where GET /v1/credentials is offered
 * POST /v1/session   (bearer; body {} or empty)     201 the first time, else 200
 *   {"account":S,"email":S,
 *    "bucket":{"name":S,"prefix":S,"region":S,"endpoint":S,"style":"path"|"virtual","versioning":B,"versioned_at":N},
 *    "quota":{"limit":N,"used":N},                  bytes; limit 0: none
 *    "features":{one boolean for each WIRE_FEATURE_*},
 *    "server_time":N}                               Unix seconds
 * POST /v1/grants    (bearer) {"items":[ITEM, ...]} at most WIRE_MAX_URLS URLs in all; each item is granted or fails
 * alone
 *   {"grants":[GRANT | {"error":{"code":S,"message":S}}, ...]} in the order of the items. A GRANT is
 *   {"method":S,"url":S,"headers":{NAME:VALUE},"expires_in":N}: every header must be sent exactly; expires_in in
 * seconds. part answers {"method","urls":[S, ...],"headers","last_headers"?,"expires_in"}: headers carry content-length
 * for each part; last_headers stands in their place for the last of the run when last_size differs. delete_many answers
 * with "body" besides, the XML to send, byte for byte; expires_in is at most 900. An item that no longer fits in the
 * answer's 4 MiB has the error code "again": ask for it again. Items: {"op":OP, ...}; unknown fields are 422. get, head
 * key, version?, checksum_mode?(B) put            key, size, headers?{} copy           key, source, source_version?,
 * source_if_match?, directive("COPY"|"REPLACE"), headers?{} create         key, headers?{} part           key, upload,
 * first, count, size, last_size? part_copy      key, upload, number, source, source_version?, range("bytes=a-b"),
 * source_if_match? complete       key, upload, total abort          key, upload list_parts     key, upload, marker?
 *   list           prefix, delimiter?, start_after?, token?, max_keys?
 *   list_versions  prefix, delimiter?, key_marker?, version_marker?, max_keys?
 *   delete         key
 *   delete_many    keys:[{"key":S,"etag"?:S}]
 * GET  /v1/credentials   (bearer)   temporary keys, with which the client signs the same requests by itself
 *   {"access_key_id":S,"secret_access_key":S,"session_token":S,
 *    "expires_in":N,                                seconds; at most 900
 *    "by_grant":[OP, ...],                          what these keys may not do on this store: ask for grants
 *    "server_time":N}                               Unix seconds, to sign with
 *   They reach the account's bucket and prefix only: get (any version), put, delete (never a version), the parts of
 *   uploads, list and list_versions below the prefix. 404 "not_offered": this server has no such mode. 403 "quota": not
 *   for an account with a quota, whose bytes could not be counted. Either way grants serve. Never stored, never logged.
 * key, source and prefix are whole S3 keys: they begin with the account's bucket.prefix.
 * Errors: HTTP status and {"error":{"code":S,"message":S,"request_id"?:S}}; 401 token, 403 not allowed, 404, 409, 413,
 * 422 bad item, 429 and 503 with Retry-After, 507 quota. Each answer has the header X-Request-Id. The same codes stand
 * in the errors of single items. Not signed and therefore free for the client to add to a grant: If-Match,
 * If-None-Match, If-Modified-Since, Range, Content-MD5.
 */
#pragma once

#define WIRE_VERSION 1
#define WIRE_MODE_PRESIGNED "presigned"
#define WIRE_MODE_CREDENTIALS "credentials"
#define WIRE_PATH_CONFIGURATION "/.well-known/pail-configuration"
#define WIRE_PATH_SESSION "/v1/session"
#define WIRE_PATH_GRANTS "/v1/grants"
#define WIRE_PATH_CREDENTIALS "/v1/credentials"

#define WIRE_MAX_REQUEST (1u << 20) /* bytes */
#define WIRE_MAX_ANSWER (4u << 20)  /* bytes */
#define WIRE_MAX_URLS 1000u
#define WIRE_MAX_KEY 1024u
#define WIRE_MAX_METADATA 2048u /* bytes of all x-amz-meta- names (without the prefix) and values: S3's own limit */

/* Operations. */
#define WIRE_OP_GET "get"
#define WIRE_OP_HEAD "head"
#define WIRE_OP_PUT "put"
#define WIRE_OP_COPY "copy"
#define WIRE_OP_CREATE "create"
#define WIRE_OP_PART "part"
#define WIRE_OP_PART_COPY "part_copy"
#define WIRE_OP_COMPLETE "complete"
#define WIRE_OP_ABORT "abort"
#define WIRE_OP_LIST_PARTS "list_parts"
#define WIRE_OP_LIST "list"
#define WIRE_OP_LIST_VERSIONS "list_versions"
#define WIRE_OP_DELETE "delete"
#define WIRE_OP_DELETE_MANY "delete_many"

/* Members of GET /v1/credentials. */
#define WIRE_ACCESS_KEY_ID "access_key_id"
#define WIRE_SECRET_ACCESS_KEY "secret_access_key"
#define WIRE_SESSION_TOKEN "session_token"
#define WIRE_EXPIRES_IN "expires_in"
#define WIRE_BY_GRANT "by_grant"
#define WIRE_SERVER_TIME "server_time"

/* Features: what the store was proven to honour; see struct store_features. */
#define WIRE_FEATURE_PUT_IF_ABSENT "put_if_absent"
#define WIRE_FEATURE_PUT_IF_MATCH "put_if_match"
#define WIRE_FEATURE_COMPLETE_IF_ABSENT "complete_if_absent"
#define WIRE_FEATURE_COMPLETE_IF_MATCH "complete_if_match"
#define WIRE_FEATURE_COMPLETE_SIZE "complete_size"
#define WIRE_FEATURE_COPY_IF_ABSENT "copy_if_absent"
#define WIRE_FEATURE_COPY_IF_MATCH "copy_if_match"
#define WIRE_FEATURE_COPY_SOURCE_IF_MATCH "copy_source_if_match"
#define WIRE_FEATURE_PART_COPY_SOURCE_IF_MATCH "part_copy_source_if_match"
#define WIRE_FEATURE_DELETE_IF_MATCH "delete_if_match"
#define WIRE_FEATURE_DELETE_MANY_IF_MATCH "delete_many_if_match"
#define WIRE_FEATURE_CONTENT_MD5 "content_md5"
#define WIRE_FEATURE_CRC32C "crc32c"
#define WIRE_FEATURE_SHA256 "sha256"
#define WIRE_FEATURE_QUOTED_ETAG "quoted_etag"

/* Error codes of single items and of whole answers. */
#define WIRE_ERROR_AGAIN "again"
#define WIRE_ERROR_BAD_ITEM "bad_item"
#define WIRE_ERROR_TOKEN "token"
#define WIRE_ERROR_DENIED "denied"
#define WIRE_ERROR_QUOTA "quota"
#define WIRE_ERROR_TOO_LARGE "too_large"
#define WIRE_ERROR_BUSY "busy"
#define WIRE_ERROR_UNAVAILABLE "unavailable"
#define WIRE_ERROR_NOT_FOUND "not_found"
#define WIRE_ERROR_NOT_OFFERED "not_offered"
#define WIRE_ERROR_CONFLICT "conflict"
