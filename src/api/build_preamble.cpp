// SPDX-License-Identifier: Apache-2.0
#include "api/build_preamble.h"

#include "base/json.h"
#include "base/text.h"

namespace berth::api {
namespace {

constexpr std::string_view kType = "application/vnd.berth.build";
constexpr std::string_view kWhat = "the build's preamble";
constexpr std::size_t kLargestDocument = 16u << 20;
constexpr std::size_t kLargestSecret = 500u << 10;
constexpr std::size_t kLargestSecrets = 8u << 20;
constexpr std::size_t kLongestSize = 10;  // digits

Result<std::string> read_exactly(http::Exchange& exchange, std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t at = 0; at < size;) {
    const std::size_t got = TRY(exchange.read_body({text.data() + at, size - at}));
    if (got == 0) return fail(ErrorKind::invalid, "{} ends too early", kWhat);
    at += got;
  }
  return text;
}

// The first line.
Result<std::size_t> read_size(http::Exchange& exchange) {
  std::string digits;
  for (;;) {
    const std::string byte = TRY(read_exactly(exchange, 1));
    if (byte == "\n") break;
    digits += byte;
    if (digits.size() > kLongestSize) return fail(ErrorKind::invalid, "{} begins with no size", kWhat);
  }
  const std::optional<std::size_t> size = parse_integer<std::size_t>(digits);
  if (!size) return fail(ErrorKind::invalid, "{} begins with no size", kWhat);
  if (*size > kLargestDocument)
    return fail(ErrorKind::invalid, "{} is larger than {} bytes", kWhat, kLargestDocument);
  return *size;
}

Result<void> add_secrets(const std::map<std::string, std::string>& encoded, build::BuildRequest& request) {
  std::size_t total = 0;
  for (const auto& [id, text] : encoded) {
    std::optional<std::string> bytes = from_base64(text);
    if (!bytes) return fail(ErrorKind::invalid, "the secret {} is not base64", id);
    if (bytes->size() > kLargestSecret)
      return fail(ErrorKind::invalid, "the secret {} is larger than {} bytes", id, kLargestSecret);
    total += bytes->size();
    if (total > kLargestSecrets)
      return fail(ErrorKind::invalid, "all secrets together are larger than {} bytes", kLargestSecrets);
    request.secrets[id] = std::move(*bytes);
  }
  return {};
}

}  // namespace

Result<void> read_build_preamble(Call& call, build::BuildRequest& request) {
  if (call.request().headers.get("Content-Type").value_or("") != kType) return {};
  const std::size_t size = TRY(read_size(call.exchange));
  const std::string text = TRY(read_exactly(call.exchange, size));
  const json::value document = TRY(parse_json(text, kWhat));
  std::map<std::string, std::string> secrets;
  std::vector<std::string> stages;
  ObjectReader in(document, kWhat);
  in.read("secrets", secrets);
  in.read("noCacheStages", stages);
  in.read_object("contexts", [&](ObjectReader& contexts) {
    contexts.each_object([&](std::string_view name, ObjectReader& context) {
      std::string& image = request.named_contexts[std::string(name)].image;
      context.read("image", image);
      if (image.empty()) context.refuse("image", "an image's name");
    });
  });
  TRY(in.finish());
  request.no_cache_stages.insert(stages.begin(), stages.end());
  return add_secrets(secrets, request);
}

}  // namespace berth::api
