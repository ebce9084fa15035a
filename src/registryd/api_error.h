// SPDX-License-Identifier: Apache-2.0
// Errors as the distribution specification writes them ("Error Codes"): a status, a code, a message.
#pragma once
#include <expected>
#include <string>
#include <string_view>

#include "base/error.h"

namespace berth::registryd {

enum class Code {
  blob_unknown,
  blob_upload_invalid,
  blob_upload_unknown,
  digest_invalid,
  manifest_blob_unknown,
  manifest_invalid,
  manifest_unknown,
  name_invalid,
  name_unknown,
  manifest_too_large,
  size_invalid,
  tag_invalid,
  pagination_invalid,
  range_invalid,
  unauthorized,
  denied,
  unsupported,
  too_many_requests,
  not_found,    // a path that the registry does not have
  unavailable,  // read-only, or a disk or an upstream that fails
  unknown,
};

struct ApiError {
  Code code = Code::unknown;
  std::string message;
  std::string detail = {};  // what it is about: a digest, a name; may be empty
};

template <class T>
using ApiResult = std::expected<T, ApiError>;

int status_of(Code code) noexcept;
std::string_view text_of(Code code) noexcept;  // "BLOB_UNKNOWN"
std::string body_of(const ApiError& error);    // {"errors":[{...}]}
ApiError internal_error(const Error& error);   // logs it: its words are not for clients
std::unexpected<ApiError> refuse(Code code, std::string message, std::string detail = {});

}  // namespace berth::registryd

// The value of a Result or of an ApiResult, or an early return of its error as an ApiError.
#define API_TRY(...)                                                                           \
  __extension__({                                                                              \
    auto&& api_result = (__VA_ARGS__);                                                         \
    if (!api_result) [[unlikely]]                                                              \
      return std::unexpected(::berth::registryd::as_api_error(std::move(api_result).error())); \
    std::move(api_result).value();                                                             \
  })

namespace berth::registryd {
inline ApiError as_api_error(ApiError error) { return error; }
inline ApiError as_api_error(Error error) { return internal_error(error); }
}  // namespace berth::registryd
