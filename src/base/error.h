// SPDX-License-Identifier: Apache-2.0
// Errors are values. A function that can fail returns Result<T>; the Error says what was tried, on what, and
// why it failed, in one sentence a user can act on. Exceptions are for bugs and memory alone.
//
//   Result<std::string> read_greeting(const std::string& path) {
//     Fd file = TRY(open_file(path, O_RDONLY));
//     if (path.empty()) return fail(ErrorKind::invalid, "the greeting's path is empty");
//     ...
//   }
#pragma once
#include <fmt/core.h>

#include <expected>
#include <string>
#include <utility>

namespace berth {

// What went wrong, in the terms of whoever asked. api/ maps each to an HTTP status, cli/ to an exit code.
enum class ErrorKind {
  invalid,          // the request makes no sense: malformed, out of range, unknown option
  not_found,        // the named thing does not exist
  conflict,         // it exists already, or is in a state that forbids this
  denied,           // known, and not allowed
  unauthenticated,  // credentials are missing or wrong
  unsupported,      // this build or this kernel cannot do it
  unavailable,      // a peer cannot be reached, or a limit is reached for now
  exhausted,        // no space, memory, descriptors or addresses left
  timeout,          // it took longer than allowed
  cancelled,        // the caller gave up
  corrupt,          // stored or received data contradicts itself or its digest
  not_modified,     // nothing to do: the state asked for is the state there is
  system,           // the kernel refused for a reason that none of the above names
};

struct Error {
  ErrorKind kind = ErrorKind::system;
  int code = 0;  // errno where the kernel was asked, otherwise 0
  std::string message;

  // The same error with the larger task named first: "start web: mount /proc: Permission denied".
  Error within(std::string_view task) &&;
};

template <class T>
using Result = std::expected<T, Error>;

// The kind that a bare errno stands for, when the caller knows nothing better.
ErrorKind kind_of_errno(int code) noexcept;

Error make_error(ErrorKind kind, int code, fmt::string_view format, fmt::format_args arguments);

template <class... Args>
std::unexpected<Error> fail(ErrorKind kind, fmt::format_string<Args...> format, Args&&... arguments) {
  return std::unexpected(make_error(kind, 0, format, fmt::make_format_args(arguments...)));
}

// For a failed system call: appends what `code` means to the message and keeps it in the error.
template <class... Args>
std::unexpected<Error> fail_errno(int code, fmt::format_string<Args...> format, Args&&... arguments) {
  return std::unexpected(make_error(kind_of_errno(code), code, format, fmt::make_format_args(arguments...)));
}

}  // namespace berth

// The value of a Result, or an early return of its error. A statement expression (GNU): the alternative is
// three lines at each call. Use it as a whole statement or initialiser, never inside another call's
// arguments: g++ 12 gets the lifetime of temporaries wrong there.
#define TRY(...)                                             \
  __extension__({                                            \
    auto&& try_result = (__VA_ARGS__);                       \
    if (!try_result) [[unlikely]]                            \
      return std::unexpected(std::move(try_result).error()); \
    std::move(try_result).value();                           \
  })

// The same, naming the larger task in front of the error's message.
#define TRY_AS(task, ...)                                                 \
  __extension__({                                                         \
    auto&& try_result = (__VA_ARGS__);                                    \
    if (!try_result) [[unlikely]]                                         \
      return std::unexpected(std::move(try_result).error().within(task)); \
    std::move(try_result).value();                                        \
  })
