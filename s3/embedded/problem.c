/* What the embedded store refuses, in S3's words. */
#include "s3/embedded/problem.h"

#include <errno.h>
#include <stddef.h>

static const struct problem_text texts[PROBLEM_END] = {
    [PROBLEM_ACCESS_DENIED] = {403, "AccessDenied", "Access Denied"},
    [PROBLEM_BAD_DIGEST] = {400, "BadDigest", "The checksum you specified did not match what we received."},
    [PROBLEM_BUCKET_ALREADY_OWNED] = {409, "BucketAlreadyOwnedByYou", "You own this bucket already."},
    [PROBLEM_BUCKET_NOT_EMPTY] = {409, "BucketNotEmpty", "The bucket is not empty; versions count too."},
    [PROBLEM_COPY_ONTO_ITSELF] = {400, "InvalidRequest", "This copy would change nothing: it is onto itself."},
    [PROBLEM_ENTITY_TOO_LARGE] = {400, "EntityTooLarge", "More than S3 takes in one request."},
    [PROBLEM_ENTITY_TOO_SMALL] = {400, "EntityTooSmall", "Each part but the last has 5 MiB at least."},
    [PROBLEM_EXPIRED] = {403, "AccessDenied", "Request has expired"},
    [PROBLEM_INCOMPLETE_BODY] = {400, "IncompleteBody", "The body has another length than its headers say."},
    [PROBLEM_INTERNAL] = {500, "InternalError", "The store met an error of its own; its log says which."},
    [PROBLEM_INVALID_ACCESS_KEY] = {403, "InvalidAccessKeyId", "This access key is not known here."},
    [PROBLEM_INVALID_ACL] = {400, "AccessControlListNotSupported", "Everything belongs to its owner only; no ACLs."},
    [PROBLEM_INVALID_ARGUMENT] = {400, "InvalidArgument", "A parameter has a value that it cannot have."},
    [PROBLEM_INVALID_BUCKET_NAME] = {400, "InvalidBucketName", "3 to 63 of a-z, 0-9, '-' and '.'."},
    [PROBLEM_INVALID_DIGEST] = {400, "InvalidDigest", "The checksum is not one of its kind, in base64."},
    [PROBLEM_INVALID_PART] = {400, "InvalidPart", "A part is missing or has another ETag."},
    [PROBLEM_INVALID_PART_ORDER] = {400, "InvalidPartOrder", "Parts are not in ascending order."},
    [PROBLEM_INVALID_RANGE] = {416, "InvalidRange", "The range begins behind the end."},
    [PROBLEM_INVALID_REQUEST] = {400, "InvalidRequest", "What was asked for does not go together."},
    [PROBLEM_INVALID_TAG] = {400, "InvalidTag", "Tags are wrong or too many."},
    [PROBLEM_KEY_TOO_LONG] = {400, "KeyTooLongError", "A key has at most 1,024 bytes."},
    [PROBLEM_LOCATION] = {400, "InvalidLocationConstraint", "This store has one region only."},
    [PROBLEM_MALFORMED_AUTHORIZATION] = {400, "AuthorizationHeaderMalformed", "The signature cannot be read."},
    [PROBLEM_MALFORMED_XML] = {400, "MalformedXML", "The XML is not what this request takes."},
    [PROBLEM_METADATA_TOO_LARGE] = {400, "MetadataTooLarge", "Metadata have at most 2 KiB."},
    [PROBLEM_METHOD_NOT_ALLOWED] = {405, "MethodNotAllowed", "Not allowed on this resource."},
    [PROBLEM_MISSING_LENGTH] = {411, "MissingContentLength", "The request needs a Content-Length."},
    [PROBLEM_NO_ENCRYPTION] = {404, "ServerSideEncryptionConfigurationNotFoundError", "No encryption was set."},
    [PROBLEM_NO_LIFECYCLE] = {404, "NoSuchLifecycleConfiguration", "No lifecycle was set."},
    [PROBLEM_NO_OWNERSHIP] = {404, "OwnershipControlsNotFoundError", "No ownership was set."},
    [PROBLEM_NO_POLICY] = {404, "NoSuchBucketPolicy", "No policy was set."},
    [PROBLEM_NO_PUBLIC_ACCESS_BLOCK] = {404, "NoSuchPublicAccessBlockConfiguration", "No block was set."},
    [PROBLEM_NO_CORS] = {404, "NoSuchCORSConfiguration", "No CORS was set."},
    [PROBLEM_NO_SUCH_BUCKET] = {404, "NoSuchBucket", "The bucket does not exist."},
    [PROBLEM_NO_SUCH_KEY] = {404, "NoSuchKey", "The key does not exist."},
    [PROBLEM_NO_SUCH_UPLOAD] = {404, "NoSuchUpload", "The upload does not exist: aborted or completed."},
    [PROBLEM_NO_SUCH_VERSION] = {404, "NoSuchVersion", "The version does not exist."},
    [PROBLEM_NO_TAGS] = {404, "NoSuchTagSet", "No tags were set."},
    [PROBLEM_NOT_IMPLEMENTED] = {501, "NotImplemented", "This store does not know what was asked for."},
    [PROBLEM_NOT_MODIFIED] = {304, "NotModified", "Not Modified"},
    [PROBLEM_PRECONDITION_FAILED] = {412, "PreconditionFailed", "A condition did not hold."},
    [PROBLEM_SHA256_MISMATCH] = {400, "XAmzContentSHA256Mismatch", "x-amz-content-sha256 is not that of the body."},
    [PROBLEM_SIGNATURE] = {403, "SignatureDoesNotMatch", "The signature is not that of this request."},
    [PROBLEM_SKEWED] = {403, "RequestTimeTooSkewed", "The clocks differ by more than 15 minutes."},
    [PROBLEM_SLOW_DOWN] = {503, "SlowDown", "Too much at once; try again."},
    [PROBLEM_UNSIGNED_HEADER] = {403, "AccessDenied", "There are x-amz headers which were not signed"},
    [PROBLEM_WRONG_HOST] = {403, "AccessDenied", "This store answers to its own address only"},
};

static const struct problem_text full = {507, "InsufficientStorage", "This machine's disk is full."};

const struct problem_text *problem_text(int problem) {
    if (problem == -ENOSPC || problem == -EDQUOT)
        return &full;
    if (problem > 0 && problem < PROBLEM_END)
        return &texts[problem];
    return &texts[PROBLEM_INTERNAL];
}
