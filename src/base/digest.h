// SPDX-License-Identifier: Apache-2.0
// Content digests as OCI writes them: "sha256:" and 64 lower-case hex digits (image-spec, descriptor.md,
// "Digests").
#pragma once
#include <array>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"

namespace berth {

// A checked digest. It is safe as a path component through hex(), and cannot hold anything else.
class Digest {
 public:
  static Result<Digest> parse(std::string_view text);  // only sha256: the one algorithm that clients produce
  static Digest from_bytes(const std::array<unsigned char, 32>& bytes);

  const std::string& text() const noexcept { return text_; }  // "sha256:..."
  std::string hex() const { return text_.substr(7); }
  std::string short_hex() const { return text_.substr(7, 12); }  // as tables show it
  auto operator<=>(const Digest&) const = default;

 private:
  explicit Digest(std::string text) : text_(std::move(text)) {}
  std::string text_;
};

// Incremental SHA-256. finish() ends it; start another for the next.
class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  ~Sha256();
  void update(std::string_view data);
  Digest finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

Digest sha256_of(std::string_view data);

}  // namespace berth
