// SPDX-License-Identifier: Apache-2.0
#include "cli/status_kind.h"

namespace berth::cli {

ErrorKind kind_of_status(int status) {
  switch (status) {
    case 400:
      return ErrorKind::invalid;
    case 401:
      return ErrorKind::unauthenticated;
    case 403:
      return ErrorKind::denied;
    case 404:
      return ErrorKind::not_found;
    case 409:
      return ErrorKind::conflict;
    case 501:
      return ErrorKind::unsupported;
    case 503:
      return ErrorKind::unavailable;
    default:
      return ErrorKind::system;
  }
}

}  // namespace berth::cli
