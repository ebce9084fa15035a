// SPDX-License-Identifier: Apache-2.0
// An answer that no backend gave: an error's page, or "ok".
#pragma once
#include <string>
#include <string_view>

#include "proxy/worker/downstream.h"
#include "proxy/worker/error_pages.h"

namespace berth::proxy {

class OwnAnswer {
 public:
  // `lines` and `page` stay there as long as this does; null: the status' own page.
  OwnAnswer(const ErrorPages& pages, int status, bool is_head, std::string_view lines = {},
            const std::string* page = nullptr);
  OwnAnswer(const OwnAnswer&) = delete;
  OwnAnswer& operator=(const OwnAnswer&) = delete;

  // Views into this. What is left of the request's body is not read.
  AnswerHead head() const noexcept;
  std::string_view body() const noexcept { return is_head_ ? std::string_view() : page_.body; }

 private:
  const int status_;
  const bool is_head_;
  const std::string_view lines_;
  const ErrorPages::Page page_;
  const std::string length_;
  const Fields fields_;
};

}  // namespace berth::proxy
