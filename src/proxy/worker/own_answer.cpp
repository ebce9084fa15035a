// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/own_answer.h"

#include "http/message.h"

namespace berth::proxy {

OwnAnswer::OwnAnswer(const ErrorPages& pages, int status, bool is_head)
    : status_(status),
      is_head_(is_head),
      page_(status == 200 ? ErrorPages::Page{"text/plain", "ok"} : pages.page(status)),
      length_(std::to_string(page_.body.size())),
      fields_{{.name = "Content-Type", .value = page_.type}, {.name = "Content-Length", .value = length_}} {}

AnswerHead OwnAnswer::head() const noexcept {
  return {.status = status_,
          .reason = http::reason_phrase(status_),
          .fields = &fields_,
          .framing = {body().empty() ? Framing::Kind::none : Framing::Kind::length, body().size()},
          .extra_lines = {},
          .reads_no_more = true};
}

}  // namespace berth::proxy
