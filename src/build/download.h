// SPDX-License-Identifier: Apache-2.0
// ADD of a URL.
#pragma once
#include <stop_token>
#include <string>

#include "base/clock.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/fd.h"

namespace berth::build {

struct Download {
  std::string name;  // the last part of the URL's path; empty where it has none
  Digest digest;
  Timestamp modified;  // of Last-Modified; 0 where the server does not say
  Fd file;             // without a name
};

// http and https, over at most kMostRedirects redirects. A status other than 200 is an error that names it.
// What is kept of it is a file without a name in `directory`. A server that is silent for a minute is given
// up.
inline constexpr int kMostRedirects = 10;
Result<Download> download_url(const std::string& url, const std::string& directory,
                              const std::stop_token& stop);

}  // namespace berth::build
