// SPDX-License-Identifier: Apache-2.0
#include "registryd/api_error.h"

#include "base/json.h"
#include "base/log.h"
#include "base/text.h"

namespace berth::registryd {
namespace {

struct Row {
  int status;
  std::string_view text;
};

Row row_of(Code code) noexcept {
  switch (code) {
    case Code::blob_unknown:
      return {404, "BLOB_UNKNOWN"};
    case Code::blob_upload_invalid:
      return {400, "BLOB_UPLOAD_INVALID"};
    case Code::blob_upload_unknown:
      return {404, "BLOB_UPLOAD_UNKNOWN"};
    case Code::digest_invalid:
      return {400, "DIGEST_INVALID"};
    case Code::manifest_blob_unknown:
      return {404, "MANIFEST_BLOB_UNKNOWN"};
    case Code::manifest_invalid:
      return {400, "MANIFEST_INVALID"};
    case Code::manifest_unknown:
      return {404, "MANIFEST_UNKNOWN"};
    case Code::name_invalid:
      return {400, "NAME_INVALID"};
    case Code::name_unknown:
      return {404, "NAME_UNKNOWN"};
    case Code::manifest_too_large:
      return {413, "MANIFEST_INVALID"};
    case Code::size_invalid:
      return {400, "SIZE_INVALID"};
    case Code::tag_invalid:
      return {400, "TAG_INVALID"};
    case Code::pagination_invalid:
      return {400, "PAGINATION_NUMBER_INVALID"};
    case Code::range_invalid:
      return {416, "RANGE_INVALID"};
    case Code::unauthorized:
      return {401, "UNAUTHORIZED"};
    case Code::denied:
      return {403, "DENIED"};
    case Code::unsupported:
      return {405, "UNSUPPORTED"};
    case Code::too_many_requests:
      return {429, "TOOMANYREQUESTS"};
    case Code::not_found:
      return {404, "NOT_FOUND"};
    case Code::unavailable:
      return {503, "UNAVAILABLE"};
    case Code::unknown:
      break;
  }
  return {500, "UNKNOWN"};
}

// What a client wrote may hold anything; the answer is JSON.
std::string printable(std::string_view text) {
  constexpr std::size_t kLimit = 512;
  std::string made(text.substr(0, kLimit));
  if (!valid_utf8(made))
    for (char& c : made)
      if (static_cast<unsigned char>(c) >= 0x80) c = '?';
  return made;
}

}  // namespace

int status_of(Code code) noexcept { return row_of(code).status; }
std::string_view text_of(Code code) noexcept { return row_of(code).text; }

std::string body_of(const ApiError& error) {
  json::object entry;
  entry["code"] = text_of(error.code);
  entry["message"] = printable(error.message);
  if (!error.detail.empty()) entry["detail"] = printable(error.detail);
  json::object body;
  body["errors"] = json::array{std::move(entry)};
  return json::serialize(body) + "\n";
}

ApiError internal_error(const Error& error) {
  log_error("registry", "{}", error.message);
  if (error.kind == ErrorKind::exhausted)
    return {Code::unavailable, "the registry is out of space; free some, or ask its operator to"};
  if (error.kind == ErrorKind::unavailable || error.kind == ErrorKind::timeout)
    return {Code::unavailable, "the registry cannot do this now; try again later"};
  return {Code::unknown, "the registry failed; its log says why"};
}

std::unexpected<ApiError> refuse(Code code, std::string message, std::string detail) {
  return std::unexpected(ApiError{code, std::move(message), std::move(detail)});
}

}  // namespace berth::registryd
