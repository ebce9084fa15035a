// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/own_answer.h"

#include "http/message.h"

namespace berth::proxy {
namespace {

ErrorPages::Page page_of(const ErrorPages& pages, int status, const std::string* page) {
  if (page) return {"text/html; charset=utf-8", *page};
  if (status == 200) return {"text/plain", "ok"};
  return pages.page(status);
}

}  // namespace

OwnAnswer::OwnAnswer(const ErrorPages& pages, int status, bool is_head, std::string_view lines,
                     const std::string* page)
    : status_(status),
      is_head_(is_head),
      lines_(lines),
      page_(page_of(pages, status, page)),
      length_(std::to_string(page_.body.size())),
      fields_{{.name = "Content-Type", .value = page_.type}, {.name = "Content-Length", .value = length_}} {}

AnswerHead OwnAnswer::head() const noexcept {
  return {.status = status_,
          .reason = http::reason_phrase(status_),
          .fields = &fields_,
          .framing = {body().empty() ? Framing::Kind::none : Framing::Kind::length, body().size()},
          .extra_lines = lines_,
          .reads_no_more = true};
}

}  // namespace berth::proxy
