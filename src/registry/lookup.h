// SPDX-License-Identifier: Apache-2.0
// Questions to a registry that concern no image here. A stop ends them at once.
#pragma once
#include <string>
#include <vector>

#include "base/error.h"
#include "oci/manifest.h"
#include "oci/platform.h"
#include "oci/reference.h"
#include "registry/authentication.h"
#include "registry/session.h"
#include "registry/settings.h"

namespace berth::registry {

// Every tag of the repository, sorted. The registry itself is asked, mirrors are not.
Result<std::vector<std::string>> list_tags(const oci::Reference& name, const Settings& settings,
                                           const Credentials& credentials, const std::stop_token& stop = {});

// What a name with a tag or a digest stands for.
struct Description {
  FetchedDocument document;
  std::vector<oci::Platform> platforms;
};
Result<Description> describe(const oci::Reference& name, const Settings& settings,
                             const Credentials& credentials, const std::stop_token& stop = {});

// Whether the credentials are right for the server: a host, or Docker Hub's "https://index.docker.io/v1/".
Result<void> log_in(const std::string& server, const Settings& settings, const Credentials& credentials,
                    const std::stop_token& stop = {});

}  // namespace berth::registry
