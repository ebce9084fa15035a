// SPDX-License-Identifier: Apache-2.0
#include "archive/stream.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/fd.h"

namespace berth::archive {
namespace {

constexpr std::size_t kBuffer = 256u << 10;
constexpr std::size_t kQueued =
    6;  // buffers between two threads: enough to smooth out, small enough to stay in cache

}  // namespace

Result<std::size_t> FdSource::read(std::span<char> buffer) { return read_some(fd_, buffer); }

Result<void> FdSink::write(std::string_view data) { return write_all(fd_, data); }

Result<std::size_t> StringSource::read(std::span<char> buffer) {
  const std::size_t size = std::min(buffer.size(), text_.size());
  std::memcpy(buffer.data(), text_.data(), size);
  text_.remove_prefix(size);
  return size;
}

Result<std::size_t> DigestSource::read(std::span<char> buffer) {
  const std::size_t size = TRY(inner_.read(buffer));
  digest_.update({buffer.data(), size});
  size_ += size;
  return size;
}

Result<void> DigestSink::write(std::string_view data) {
  digest_.update(data);
  size_ += data.size();
  return inner_.write(data);
}

namespace {

// Buffers from one thread to another, a bounded number under way.
class Channel {
 public:
  // False when the reader is gone.
  bool put(std::vector<char> buffer) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return closed_ || full_.size() < kQueued; });
    if (closed_) return false;
    full_.push_back(std::move(buffer));
    changed_.notify_all();
    return true;
  }

  void end(Result<void> result) {
    std::lock_guard lock(mutex_);
    result_ = std::move(result);
    changed_.notify_all();
  }

  // A buffer to fill again, or a new one.
  std::vector<char> spare() {
    std::lock_guard lock(mutex_);
    if (empty_.empty()) return {};
    std::vector<char> buffer = std::move(empty_.back());
    empty_.pop_back();
    return buffer;
  }

  Result<std::size_t> read(std::span<char> out) {
    while (at_ == current_.size()) {
      std::unique_lock lock(mutex_);
      if (current_.capacity() > 0) empty_.push_back(std::move(current_));
      current_ = {};
      at_ = 0;
      changed_.wait(lock, [&] { return !full_.empty() || result_; });
      if (full_.empty()) {
        if (!*result_) return std::unexpected(result_->error());
        return std::size_t{0};
      }
      current_ = std::move(full_.front());
      full_.pop_front();
      changed_.notify_all();
    }
    const std::size_t size = std::min(out.size(), current_.size() - at_);
    std::memcpy(out.data(), current_.data() + at_, size);
    at_ += size;
    return size;
  }

  void close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::vector<char>> full_;
  std::vector<std::vector<char>> empty_;
  std::optional<Result<void>> result_;  // set at the end
  bool closed_ = false;
  std::vector<char> current_;  // the reader's
  std::size_t at_ = 0;
};

// Gathers small writes into buffers worth handing over.
class ChannelSink final : public Sink {
 public:
  explicit ChannelSink(Channel& channel) : channel_(channel) {}

  Result<void> write(std::string_view data) override {
    while (!data.empty()) {
      if (buffer_.capacity() == 0) {
        buffer_ = channel_.spare();
        buffer_.clear();
        buffer_.reserve(kBuffer);
      }
      const std::size_t size = std::min(data.size(), kBuffer - buffer_.size());
      buffer_.insert(buffer_.end(), data.begin(), data.begin() + static_cast<std::ptrdiff_t>(size));
      data.remove_prefix(size);
      if (buffer_.size() == kBuffer) TRY(hand_over());
    }
    return {};
  }

  Result<void> finish() override { return buffer_.empty() ? Result<void>{} : hand_over(); }

 private:
  Result<void> hand_over() {
    if (!channel_.put(std::exchange(buffer_, {})))
      return fail(ErrorKind::cancelled, "nobody reads what is produced any more");
    return {};
  }

  Channel& channel_;
  std::vector<char> buffer_;
};

}  // namespace

struct ReadAhead::Shared {
  Channel channel;
  std::jthread thread;
};

ReadAhead::ReadAhead(Source& inner) : shared_(std::make_unique<Shared>()) {
  shared_->thread = std::jthread([&inner, &channel = shared_->channel] {
    for (;;) {
      std::vector<char> buffer = channel.spare();
      buffer.resize(kBuffer);
      Result<std::size_t> size = inner.read(buffer);
      if (!size) return channel.end(std::unexpected(std::move(size).error()));
      if (*size == 0) return channel.end({});
      buffer.resize(*size);
      if (!channel.put(std::move(buffer))) return;
    }
  });
}

ReadAhead::~ReadAhead() { shared_->channel.close(); }

Result<std::size_t> ReadAhead::read(std::span<char> buffer) { return shared_->channel.read(buffer); }

struct ProducedSource::Shared {
  Channel channel;
  std::jthread thread;
};

ProducedSource::ProducedSource(std::function<Result<void>(Sink&)> produce)
    : shared_(std::make_unique<Shared>()) {
  shared_->thread = std::jthread([produce = std::move(produce), &channel = shared_->channel] {
    ChannelSink sink(channel);
    Result<void> result = produce(sink);
    if (result) result = sink.finish();
    channel.end(std::move(result));
  });
}

ProducedSource::~ProducedSource() { shared_->channel.close(); }

Result<std::size_t> ProducedSource::read(std::span<char> buffer) { return shared_->channel.read(buffer); }

Result<std::uint64_t> copy_stream(Source& source, Sink& sink, std::uint64_t limit) {
  std::vector<char> buffer(kBuffer);
  std::uint64_t total = 0;
  for (;;) {
    const std::size_t size = TRY(source.read(buffer));
    if (size == 0) return total;
    if (size > limit - total) return fail(ErrorKind::exhausted, "more than {} bytes of data", limit);
    total += size;
    TRY(sink.write({buffer.data(), size}));
  }
}

}  // namespace berth::archive
