// SPDX-License-Identifier: Apache-2.0
// Bytes that flow: a Source is read until it returns 0, a Sink is written and then finished. Decorators
// (decompression, digest, read-ahead) are Sources over Sources. Nothing here holds more than a buffer.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "base/error.h"

namespace berth::archive {

class Source {
 public:
  virtual ~Source() = default;
  // Up to buffer.size() bytes; 0 is the end, and stays it. After an error the source is done with.
  virtual Result<std::size_t> read(std::span<char> buffer) = 0;
};

class Sink {
 public:
  virtual ~Sink() = default;
  virtual Result<void> write(std::string_view data) = 0;  // takes all of it
  // The end: what is held back goes out. Once, after the last write; without it the output is incomplete.
  virtual Result<void> finish() { return {}; }
};

// Over a descriptor, which the caller keeps open.
class FdSource final : public Source {
 public:
  explicit FdSource(int fd) : fd_(fd) {}
  Result<std::size_t> read(std::span<char> buffer) override;

 private:
  int fd_;
};

class FdSink final : public Sink {
 public:
  explicit FdSink(int fd) : fd_(fd) {}
  Result<void> write(std::string_view data) override;

 private:
  int fd_;
};

// Over text that outlives it.
class StringSource final : public Source {
 public:
  explicit StringSource(std::string_view text) : text_(text) {}
  Result<std::size_t> read(std::span<char> buffer) override;

 private:
  std::string_view text_;
};

class StringSink final : public Sink {
 public:
  Result<void> write(std::string_view data) override {
    text_.append(data);
    return {};
  }
  const std::string& text() const noexcept { return text_; }
  std::string take() noexcept { return std::move(text_); }

 private:
  std::string text_;
};

// A function as a source or a sink: sockets, hijacked streams.
class FunctionSource final : public Source {
 public:
  using Read = std::function<Result<std::size_t>(std::span<char>)>;
  explicit FunctionSource(Read read) : read_(std::move(read)) {}
  Result<std::size_t> read(std::span<char> buffer) override { return read_(buffer); }

 private:
  Read read_;
};

class FunctionSink final : public Sink {
 public:
  using Write = std::function<Result<void>(std::string_view)>;
  explicit FunctionSink(Write write) : write_(std::move(write)) {}
  Result<void> write(std::string_view data) override { return write_(data); }

 private:
  Write write_;
};

// Counts and digests what passes. finish() takes the digest; read to the end first.
class DigestSource final : public Source {
 public:
  explicit DigestSource(Source& inner) : inner_(inner) {}
  Result<std::size_t> read(std::span<char> buffer) override;
  std::uint64_t size() const noexcept { return size_; }
  Digest finish() { return digest_.finish(); }

 private:
  Source& inner_;
  Sha256 digest_;
  std::uint64_t size_ = 0;
};

class DigestSink final : public Sink {
 public:
  explicit DigestSink(Sink& inner) : inner_(inner) {}
  Result<void> write(std::string_view data) override;
  Result<void> finish() override { return inner_.finish(); }
  std::uint64_t size() const noexcept { return size_; }
  Digest digest() { return digest_.finish(); }

 private:
  Sink& inner_;
  Sha256 digest_;
  std::uint64_t size_ = 0;
};

// Reads `inner` in a thread of its own, a few buffers ahead, so that inflating and unpacking take a core
// each. `inner` must outlive it. Destruction before the end waits for the read that is under way.
class ReadAhead final : public Source {
 public:
  explicit ReadAhead(Source& inner);
  ~ReadAhead() override;
  Result<std::size_t> read(std::span<char> buffer) override;

 private:
  struct Shared;
  std::unique_ptr<Shared> shared_;
};

// What `produce` writes into its sink, as a source: it runs in a thread of its own, held back while nobody
// reads. Its error becomes the source's. Destruction makes its next write fail (cancelled) and waits for it.
class ProducedSource final : public Source {
 public:
  explicit ProducedSource(std::function<Result<void>(Sink&)> produce);
  ~ProducedSource() override;
  Result<std::size_t> read(std::span<char> buffer) override;

 private:
  struct Shared;
  std::unique_ptr<Shared> shared_;
};

// Everything that is left in `source`, into `sink`, without finishing it. Returns the number of bytes; more
// than `limit` is an error (exhausted).
Result<std::uint64_t> copy_stream(Source& source, Sink& sink, std::uint64_t limit = UINT64_MAX);

}  // namespace berth::archive
