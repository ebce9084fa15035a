// SPDX-License-Identifier: Apache-2.0
// Pulling an image, and showing how it goes.
#pragma once
#include <string>

#include "base/error.h"
#include "cli/context.h"
#include "cli/engine/engine.h"
#include "oci/reference.h"

namespace berth::cli {

struct PullOptions {
  std::string platform;
  bool quiet = false;
  int output = 1;  // descriptor that progress goes to
  bool all_tags = false;
};

// With the user's credentials for its registry. `name` has a tag or a digest, unless all tags are wanted.
Result<void> pull_image(Context& context, const oci::Reference& name, const PullOptions& options);

// "bb" -> "bb:latest"; a name that is none is returned as it is.
std::string familiar_name(const std::string& image);

// Shows a stream of progress messages until it ends; a message with an error is that error. On a terminal the
// lines of one id are rewritten in place.
Result<void> show_progress(http::Response& response, int output, bool quiet,
                           std::string* last_aux_id = nullptr);

}  // namespace berth::cli
