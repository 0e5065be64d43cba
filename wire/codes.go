package wire

import (
	"slices"

	"weir/telemetry"
)

// Codes of errors. Those of paths and patterns are in package telemetry; Codes lists all.
const (
	CodeJSONSyntax = "json_syntax"
	CodeJSONUTF8   = "json_utf8"
	CodeJSONDepth  = "json_depth"

	CodeFrameEmpty      = "frame_empty"
	CodeFrameType       = "frame_type"
	CodeFrameTooLarge   = "frame_too_large"
	CodeReadingsType    = "readings_type"
	CodeReadingsTooMany = "readings_too_many"
	CodeSessionInvalid  = "session_invalid"
	CodeSeqInvalid      = "seq_invalid"
	CodeSeqMissing      = "seq_missing"

	CodeReadingType    = "reading_type"
	CodeDeviceMissing  = "device_missing"
	CodeDeviceType     = "device_type"
	CodeDeviceConflict = "device_conflict"
	CodeMetricMissing  = "metric_missing"
	CodeMetricType     = "metric_type"
	CodeTimeType       = "ts_type"
	CodeTimeInvalid    = "ts_invalid"
	CodeTimeFuture     = "ts_future"
	CodeValueMissing   = "value_missing"
	CodeValueType      = "value_type"
	CodeValueNotFinite = "value_not_finite"
	CodeValueUnsafe    = "value_integer_unsafe"

	CodeRecordMalformed = "record_malformed"
	CodeRecordCorrupt   = "record_corrupt"
	CodeWrongPartition  = "wrong_partition"
	CodeTooManySeries   = "too_many_series"
	CodeTenantSeries    = "too_many_series_of_tenant"
	CodeMetricDerived   = "metric_derived"
	CodePipelinePanic   = "pipeline_panic"
	CodeEnrichFailed    = "enrichment_failed"

	CodeExpressionFailed = "expression_failed"

	CodeMessageType        = "message_type"
	CodeFieldUnknown       = "field_unknown"
	CodeFieldMissing       = "field_missing"
	CodeFieldType          = "field_type"
	CodeFieldRange         = "field_range"
	CodeFieldValue         = "field_value"
	CodeFilterInvalid      = "filter_invalid"
	CodeCreditInvalid      = "credit_invalid"
	CodeSubscriptionExists = "subscription_exists"
	CodeSubscriptionNone   = "subscription_unknown"
	CodeSubscriptionsMany  = "subscriptions_too_many"
	CodePatternsTooMany    = "patterns_too_many"
	CodeBanned             = "banned"
	CodeRoomFull           = "room_full"
	CodeRoomsTooMany       = "rooms_too_many"

	CodeFormatUnknown    = "format_unknown"
	CodeFormatSyntax     = "format_syntax"
	CodeTemplateMismatch = "template_mismatch"
	CodeEncodingInvalid  = "encoding_invalid"
	CodeEncodingTooLarge = "encoding_too_large"
	CodeTimeUnit         = "ts_unit_unknown"

	CodeUnauthenticated = "unauthenticated"
	CodeAuthTimeout     = "auth_timeout"
	CodeTokenInvalid    = "token_invalid"
	CodeTokenExpired    = "token_expired"
	CodeTokenRevoked    = "token_revoked"
	CodeForbidden       = "forbidden"

	CodeLimitDevice    = "limit_device"
	CodeLimitKey       = "limit_key"
	CodeLimitTenant    = "limit_tenant"
	CodeLimitGlobal    = "limit_global"
	CodeLimitAddress   = "limit_address"
	CodeLimitPrincipal = "limit_principal"
	CodeLagging        = "lagging"

	CodeDeviceUnknown   = "device_unknown"
	CodeVersionConflict = "version_conflict"
	CodeKeyUnknown      = "key_unknown"
	CodeCommandExpired  = "command_expired"
	CodeCommandUnknown  = "command_unknown"
	CodeLetterUnknown   = "letter_unknown"
	CodeLetterReplayed  = "letter_replayed"
	CodeLetterTruncated = "letter_truncated"
	CodeAlertUnknown    = "alert_unknown"
	CodeAlertResolved   = "alert_resolved"
	CodeSilenceUnknown  = "silence_unknown"
	CodeSeriesUnknown   = "series_unknown"
	CodePlanInvalid     = "plan_invalid"

	CodeNotFound         = "not_found"
	CodeUpgradeRequired  = "upgrade_required"
	CodeMethodNotAllowed = "method_not_allowed"
	CodeMediaType        = "media_type"
	CodeOriginRefused    = "origin_refused"
	CodeTooManyConns     = "connections_too_many"
	CodeNotStored        = "not_stored"
	CodeOverloaded       = "overloaded"
	CodeNotReady         = "not_ready"
	CodeWaitTimeout      = "wait_timeout"
	CodeNotOwned         = "not_owned"
	CodeDraining         = "draining"
	CodeInternal         = "internal"
)

// CodeInfo describes an error code.
type CodeInfo struct {
	Code string `json:"code"`
	// Scope: "frame" and "reading" of a device, "record" of weir.readings (found by the pipeline, so only in
	// dead letters), "message" of a live client, "request" of any client; "path" codes occur wherever a path
	// or pattern does.
	Scope string `json:"scope"`
	// Status is the HTTP status of a request that fails as a whole with this code.
	Status int `json:"status"`
	// Meaning is the default message.
	Meaning string `json:"meaning"`
}

// Codes lists all error codes.
func Codes() []CodeInfo { return slices.Clone(codes) }

var codes = []CodeInfo{
	{CodeJSONSyntax, "frame", 400, "not valid JSON"},
	{CodeJSONUTF8, "frame", 400, "a string is not valid UTF-8"},
	{CodeJSONDepth, "frame", 400, "nested deeper than 8 levels"},
	{CodeFrameEmpty, "frame", 400, "the frame is empty"},
	{CodeFrameType, "frame", 400, "a frame is an object or an array of objects"},
	{CodeFrameTooLarge, "frame", 413, "the frame is larger than 1 MiB"},
	{CodeReadingsType, "frame", 400, "readings must be an array"},
	{CodeReadingsTooMany, "frame", 413, "more readings than one frame may hold"},
	{CodeSessionInvalid, "frame", 400, "session must be a string of 1 to 64 bytes"},
	{CodeSeqInvalid, "frame", 400, "seq must be a whole number from 0 to 2^63-1"},
	{CodeSeqMissing, "frame", 400, "a session needs a seq, or resends cannot be told from new frames"},

	{CodeFormatUnknown, "frame", 415, "the frame is in none of the formats that are spoken here"},
	{CodeFormatSyntax, "frame", 400, "the frame breaks the rules of its format"},
	{CodeEncodingInvalid, "frame", 400, "the compressed body is damaged"},
	{CodeEncodingTooLarge, "frame", 413, "the body is larger than allowed once it is decompressed"},
	{CodeTimeUnit, "frame", 400, "ts_unit must be s, ms, us or ns"},
	{CodeLimitDevice, "frame", 429, "the device sends more than its rate allows"},
	{CodeLimitKey, "frame", 429, "the holder of these credentials sends more than its rate allows"},
	{CodeLimitTenant, "frame", 429, "the tenant's devices together send more than its rate allows"},
	{CodeLimitGlobal, "frame", 429, "all devices together send more than this server takes"},
	{CodeLagging, "frame", 503, "the pipeline is too far behind to take more; send again later"},

	{CodeTemplateMismatch, "reading", 422, "no device or metric follows from the names by the configured templates"},
	{CodeReadingType, "reading", 422, "a reading is an object"},
	{CodeDeviceMissing, "reading", 422, "no device is named by the reading, the envelope or the connection"},
	{CodeDeviceType, "reading", 422, "device must be a string"},
	{CodeDeviceConflict, "reading", 422, "the envelope names the device; a reading inside must not"},
	{CodeMetricMissing, "reading", 422, "metric is missing"},
	{CodeMetricType, "reading", 422, "metric must be a string"},
	{CodeTimeType, "reading", 422, "ts must be a number or an RFC 3339 string"},
	{CodeTimeInvalid, "reading", 422, "ts is not a time that can be represented"},
	{CodeTimeFuture, "reading", 422, "ts is too far in the future; check the device's clock"},
	{CodeValueMissing, "reading", 422, "value is missing"},
	{CodeValueType, "reading", 422, "value must be a number or a boolean"},
	{CodeValueNotFinite, "reading", 422, "value is not a finite number"},
	{CodeValueUnsafe, "reading", 422, "value is an integer beyond 2^53 and would lose digits"},

	{CodeRecordMalformed, "record", 422, "the record is no ReadingBatch"},
	{CodeRecordCorrupt, "record", 422, "the records of these offsets cannot be read from the log"},
	{CodeWrongPartition, "record", 422, "the device belongs to another partition; produce with partitioner=murmur2"},
	{CodeTooManySeries, "record", 422, "the device has as many series as it may have; readings of further metrics are left out"},
	{CodeTenantSeries, "record", 422, "the tenant's devices have as many series as they may have; readings of others are left out"},
	{CodeMetricDerived, "record", 422, "the pipelines derive a series of this name from others; a device cannot send it"},
	{CodePipelinePanic, "record", 500, "the pipeline failed on the record"},
	{CodeExpressionFailed, "record", 422, "an expression of a bridge could not be computed for the record"},
	{CodeEnrichFailed, "record", 502, "what others know of the device, for the labels of its alerts, could not be learned"},

	{telemetry.CodePathEmpty, "path", 400, "the path is empty"},
	{telemetry.CodePathTooLong, "path", 400, "the path is longer than 255 bytes"},
	{telemetry.CodePathTooDeep, "path", 400, "the path has more than 16 segments"},
	{telemetry.CodePathSegment, "path", 400, "the path has an empty segment, or a metric a slash"},
	{telemetry.CodePathWildcard, "path", 400, "the path holds a wildcard (+ or #), which only patterns may"},
	{telemetry.CodePathReserved, "path", 400, "the path has a segment beginning with _, which is reserved for Weir"},
	{telemetry.CodePathChar, "path", 400, "the path holds a control character, U+FFFD, or is not valid UTF-8"},
	{telemetry.CodePatternForm, "path", 400, "in a pattern + must be a whole segment and # a whole last segment"},

	{CodeMessageType, "message", 400, "a message of this type is not known"},
	{CodeFieldUnknown, "message", 400, "the message has a field that is not known"},
	{CodeFieldMissing, "message", 400, "the message lacks a field"},
	{CodeFieldType, "message", 400, "the field is of another type"},
	{CodeFieldRange, "message", 400, "the field is outside its range"},
	{CodeFieldValue, "message", 400, "the field has a value that is none of those there are"},
	{CodeFilterInvalid, "message", 400, "the filter is no condition over a row"},
	{CodeCreditInvalid, "message", 400, "the credit is lower than before, or too far ahead of what has been sent"},
	{CodeSubscriptionExists, "message", 409, "a subscription of this id exists on the connection"},
	{CodeSubscriptionNone, "message", 404, "no subscription of this id exists on the connection"},
	{CodeSubscriptionsMany, "message", 429, "more subscriptions than one connection may hold"},
	{CodePatternsTooMany, "message", 400, "more patterns than one subscription may hold"},
	{CodeBanned, "message", 403, "the user is banned from the room"},
	{CodeRoomFull, "message", 429, "the room has as many members as it may have"},
	{CodeRoomsTooMany, "message", 429, "more rooms than a connection may be in, or than there may be"},

	{CodeUnauthenticated, "request", 401, "credentials are needed"},
	{CodeAuthTimeout, "request", 401, "no credentials came in time"},
	{CodeTokenInvalid, "request", 401, "the credentials are not valid"},
	{CodeTokenExpired, "request", 401, "the credentials have expired"},
	{CodeTokenRevoked, "request", 401, "the credentials have been revoked"},
	{CodeForbidden, "request", 403, "the credentials do not permit this"},
	{CodeLimitAddress, "request", 429, "too many connections from this address"},
	{CodeLimitPrincipal, "request", 429, "too many connections, views of subscriptions or new sessions with these credentials"},
	{CodeDeviceUnknown, "request", 404, "nothing is known of this device"},
	{CodeVersionConflict, "request", 412, "it has been changed meanwhile; read it again"},
	{CodeKeyUnknown, "request", 404, "there is no key of this id"},
	{CodeCommandExpired, "request", 410, "the command's time to live is over"},
	{CodeCommandUnknown, "request", 404, "there is no command of this id"},
	{CodeLetterUnknown, "request", 404, "there is no dead letter of this id"},
	{CodeLetterReplayed, "request", 409, "the dead letter has been replayed already"},
	{CodeLetterTruncated, "request", 409, "the dead letter holds a part of the frame only; send the mended frame along"},
	{CodeAlertUnknown, "request", 404, "there is no alert of this id"},
	{CodeAlertResolved, "request", 409, "the alert is over"},
	{CodeSilenceUnknown, "request", 404, "there is no silence of this id"},
	{CodeSeriesUnknown, "request", 404, "nothing is known of this series"},
	{CodePlanInvalid, "request", 422, "the declared pipelines have faults"},
	{CodeUpgradeRequired, "request", 426, "this endpoint speaks WebSocket"},
	{CodeNotFound, "request", 404, "there is nothing at this path"},
	{CodeMethodNotAllowed, "request", 405, "the method is not allowed here"},
	{CodeMediaType, "request", 415, "the content type is not supported"},
	{CodeOriginRefused, "request", 403, "requests from this origin are not allowed"},
	{CodeTooManyConns, "request", 429, "too many connections"},
	{CodeNotStored, "request", 503, "the readings could not be stored; send them again"},
	{CodeOverloaded, "request", 503, "the server is overloaded; send again later"},
	{CodeNotReady, "request", 503, "the server is starting"},
	{CodeWaitTimeout, "request", 504, "what the request waits for has not come in time"},
	{CodeNotOwned, "request", 503, "no process that can be reached owns the partition of the series just now; ask again"},
	{CodeDraining, "request", 503, "the server is stopping; connect again"},
	{CodeInternal, "request", 500, "the server failed"},
}

var codeInfo = func() map[string]*CodeInfo {
	of := make(map[string]*CodeInfo, len(codes))
	for i := range codes {
		of[codes[i].Code] = &codes[i]
	}
	return of
}()

func messageOf(code string) string {
	if info := codeInfo[code]; info != nil {
		return info.Meaning
	}
	return code
}

// StatusOf is the HTTP status that a code stands for as the failure of a request, 500 for one that the table does
// not know.
func StatusOf(code string) int {
	if info := codeInfo[code]; info != nil {
		return info.Status
	}
	return 500
}
