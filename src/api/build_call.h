// SPDX-License-Identifier: Apache-2.0
// What is asked of a Dockerfile instead of a build (`build --call`): a JSON document whose members are called
// as those of Docker's builder, so that tools that read the one read the other. Texts are the Dockerfile's:
// they need not be UTF-8.
//
//   check:   {"warnings": [{"ruleName", "description", "detail", "location": {"sourceIndex", "ranges":
//            [{"start": {"line", "character"}, "end": {"line"}}]}}], "sources": [{"fileName", "language",
//            "data": "<base64>"}]}
//   outline: {"name", "description", "args": [{"name", "value", "description"}],
//            "secrets": [{"name", "required"}], "ssh": [..], "cache": [{"ID"}]}
//   targets: {"targets": [{"name", "default", "description"}]}
#pragma once
#include <string_view>

#include "base/json.h"
#include "build/request.h"
#include "dockerfile/checks.h"
#include "image/image_store.h"

namespace berth::api {

bool is_build_call(std::string_view name);  // one of the three

// Nothing is built, and no registry is asked: what is not here of base images is not known.
Result<json::object> answer_build_call(std::string_view call, const build::BuildRequest& request,
                                       const image::ImageStore& images);

// For a build: what there is to warn of. Fails where the Dockerfile says that warnings are errors.
Result<json::object> check_before_build(const build::BuildRequest& request, const image::ImageStore& images);

json::object check_document(const dockerfile::CheckReport& report, const build::BuildRequest& request);

}  // namespace berth::api
