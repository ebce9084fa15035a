// SPDX-License-Identifier: Apache-2.0
#include "proxy/admin/dashboard.h"

#include <openssl/evp.h>

#include <array>

#include "base/text.h"

namespace berth {
extern const std::string_view embedded_page_html, embedded_style_css, embedded_script_js;
}

namespace berth::proxy {
namespace {

// What a Content-Security-Policy knows a script by that stands in the page.
std::string hash_of(std::string_view text) {
  std::array<unsigned char, 32> hash{};
  unsigned length = 0;
  EVP_Digest(text.data(), text.size(), hash.data(), &length, EVP_sha256(), nullptr);
  return "'sha256-" + to_base64({reinterpret_cast<const char*>(hash.data()), length}) + "'";
}

void put_in(std::string& page, std::string_view mark, std::string_view text) {
  if (const std::size_t at = page.find(mark); at != std::string::npos) page.replace(at, mark.size(), text);
}

struct Dashboard {
  std::string page, policy;
  Dashboard() : page(embedded_page_html) {
    put_in(page, "/*style*/", embedded_style_css);
    put_in(page, "/*script*/", embedded_script_js);
    policy = fmt::format(
        "default-src 'none'; script-src {}; style-src {}; connect-src 'self'; img-src data:; base-uri "
        "'none'; "
        "form-action 'none'; frame-ancestors 'none'",
        hash_of(embedded_script_js), hash_of(embedded_style_css));
  }
};

}  // namespace

Result<void> answer_dashboard(http::Exchange& exchange) {
  static const Dashboard dashboard;
  return exchange.respond(200,
                          {{"Content-Type", "text/html; charset=utf-8"},
                           {"Content-Security-Policy", dashboard.policy},
                           {"X-Frame-Options", "DENY"},
                           {"X-Content-Type-Options", "nosniff"},
                           {"Referrer-Policy", "no-referrer"},
                           {"Cross-Origin-Opener-Policy", "same-origin"},
                           {"Cache-Control", "no-store"}},
                          dashboard.page);
}

}  // namespace berth::proxy
