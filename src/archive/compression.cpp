// SPDX-License-Identifier: Apache-2.0
#include "archive/compression.h"

#include <bzlib.h>
#include <isa-l/igzip_lib.h>
#include <lzma.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace berth::archive {
namespace {

constexpr std::size_t kInput = 128u << 10;
constexpr std::size_t kOutput = 128u << 10;
constexpr std::size_t kHeaderTextLimit = 64u << 10;  // name and comment of a gzip member
constexpr std::uint64_t kXzMemory = 128u << 20;      // xz -9 asks for 65 MiB
constexpr int kZstdWindowLog = 27;                   // 128 MiB: what zstd itself allows without --long

// The input of a decoder: refilled from a source, the bytes peeked for the magic first.
class Input {
 public:
  Input(Source& source, std::string head) : source_(source), buffer_(kInput) {
    std::copy(head.begin(), head.end(), buffer_.begin());
    end_ = head.size();
  }

  // What is there, at least a byte unless the source has ended.
  Result<std::string_view> peek() {
    if (at_ == end_ && !ended_) {
      at_ = 0;
      end_ = TRY(source_.read(buffer_));
      ended_ = end_ == 0;
    }
    return std::string_view(buffer_.data() + at_, end_ - at_);
  }
  void consume(std::size_t size) { at_ += size; }

 private:
  Source& source_;
  std::vector<char> buffer_;
  std::size_t at_ = 0;
  std::size_t end_ = 0;
  bool ended_ = false;
};

unsigned char* bytes(char* text) { return reinterpret_cast<unsigned char*>(text); }
// The C libraries take input through pointers that are not const and do not write to it.
unsigned char* bytes(const char* text) { return reinterpret_cast<unsigned char*>(const_cast<char*>(text)); }

std::unexpected<Error> damaged(const char* format) {
  return fail(ErrorKind::corrupt, "the {} data is damaged", format);
}
std::unexpected<Error> cut_off(const char* format) {
  return fail(ErrorKind::corrupt, "the {} data ends too early", format);
}

class PlainSource final : public Source {
 public:
  explicit PlainSource(Input input) : input_(std::move(input)) {}
  Result<std::size_t> read(std::span<char> buffer) override {
    std::string_view data = TRY(input_.peek());
    const std::size_t size = std::min(buffer.size(), data.size());
    std::memcpy(buffer.data(), data.data(), size);
    input_.consume(size);
    return size;
  }

 private:
  Input input_;
};

class GzipSource final : public Source {
 public:
  explicit GzipSource(Input input) : input_(std::move(input)), state_(std::make_unique<inflate_state>()) {
    isal_inflate_init(state_.get());
    begin_member();
  }

  Result<std::size_t> read(std::span<char> buffer) override {
    if (ended_) return std::size_t{0};
    const auto room = static_cast<std::uint32_t>(std::min<std::size_t>(buffer.size(), 1u << 30));
    state_->next_out = bytes(buffer.data());
    state_->avail_out = room;
    while (state_->avail_out == room) {
      if (state_->block_state == ISAL_BLOCK_FINISH) {
        if (!TRY(next_member())) break;
        continue;
      }
      TRY(step());
    }
    return room - state_->avail_out;
  }

 private:
  void begin_member() {
    isal_inflate_reset(state_.get());
    state_->crc_flag = ISAL_GZIP_NO_HDR_VER;  // the trailer is ISA-L's to check, the header ours
    in_header_ = true;
  }

  Result<unsigned char> take_byte() {
    std::string_view data = TRY(input_.peek());
    if (data.empty()) return cut_off("gzip");
    input_.consume(1);
    return static_cast<unsigned char>(data.front());
  }

  // RFC 1952, 2.3. Read here because ISA-L loses its place in a name that two buffers share.
  Result<void> read_header() {
    constexpr unsigned kHeaderCrc = 2, kExtra = 4, kName = 8, kComment = 16, kReserved = 0xe0;
    unsigned char fixed[10];
    for (unsigned char& byte : fixed) byte = TRY(take_byte());
    const unsigned flags = fixed[3];
    if (fixed[0] != 0x1f || fixed[1] != 0x8b || fixed[2] != 8 || (flags & kReserved) != 0)
      return damaged("gzip");
    std::size_t skipped = 0;
    if ((flags & kExtra) != 0) {
      const unsigned low = TRY(take_byte());
      const unsigned high = TRY(take_byte());
      for (unsigned left = high << 8 | low; left > 0; --left) TRY(take_byte());
    }
    for (unsigned text : {kName, kComment}) {
      if ((flags & text) == 0) continue;
      while (TRY(take_byte()) != 0)
        if (++skipped > kHeaderTextLimit) return damaged("gzip");
    }
    for (int left = (flags & kHeaderCrc) != 0 ? 2 : 0; left > 0; --left) TRY(take_byte());
    in_header_ = false;
    return {};
  }

  Result<void> step() {
    if (in_header_) TRY(read_header());
    std::string_view data = TRY(input_.peek());
    state_->next_in = bytes(data.data());
    state_->avail_in = static_cast<std::uint32_t>(data.size());
    const std::uint32_t out_before = state_->avail_out;
    const int result = isal_inflate(state_.get());
    const std::size_t used = data.size() - state_->avail_in;
    input_.consume(used);
    if (result < 0) return damaged("gzip");
    if (data.empty() && state_->avail_out == out_before && state_->block_state != ISAL_BLOCK_FINISH)
      return cut_off("gzip");
    return {};
  }

  // Behind a member there is another one, padding with zeros (tape blocks), or the end.
  Result<bool> next_member() {
    // The decoder reads ahead into its bit buffer; at the end of a member it gives whole bytes back.
    std::string_view data = TRY(input_.peek());
    while (!data.empty() && data.front() == '\0') {
      std::size_t zeros = data.find_first_not_of('\0');
      input_.consume(zeros == std::string_view::npos ? data.size() : zeros);
      padded_ = true;
      data = TRY(input_.peek());
    }
    if (data.empty()) {
      ended_ = true;
      return false;
    }
    if (padded_ || data.front() != '\x1f')
      return fail(ErrorKind::corrupt, "there is something else behind the end of the gzip data");
    unsigned char* out = state_->next_out;
    const std::uint32_t room = state_->avail_out;
    begin_member();
    state_->next_out = out;
    state_->avail_out = room;
    return true;
  }

  Input input_;
  std::unique_ptr<inflate_state> state_;
  bool in_header_ = true;
  bool ended_ = false;
  bool padded_ = false;
};

class ZstdSource final : public Source {
 public:
  explicit ZstdSource(Input input)
      : input_(std::move(input)), stream_(ZSTD_createDStream(), ZSTD_freeDStream) {
    ZSTD_DCtx_setParameter(stream_.get(), ZSTD_d_windowLogMax, kZstdWindowLog);
  }

  Result<std::size_t> read(std::span<char> buffer) override {
    ZSTD_outBuffer out{buffer.data(), buffer.size(), 0};
    while (out.pos == 0) {
      std::string_view data = TRY(input_.peek());
      if (data.empty() && whole_) return std::size_t{0};
      ZSTD_inBuffer in{data.data(), data.size(), 0};
      const std::size_t left = ZSTD_decompressStream(stream_.get(), &out, &in);
      input_.consume(in.pos);
      if (ZSTD_isError(left)) return damaged("zstd");
      whole_ = left == 0;
      if (data.empty() && out.pos == 0) return cut_off("zstd");
    }
    return out.pos;
  }

 private:
  Input input_;
  std::unique_ptr<ZSTD_DStream, decltype(&ZSTD_freeDStream)> stream_;
  bool whole_ = false;  // at the end of a frame
};

class XzSource final : public Source {
 public:
  explicit XzSource(Input input) : input_(std::move(input)) {}
  ~XzSource() override { lzma_end(&stream_); }
  XzSource(const XzSource&) = delete;
  XzSource& operator=(const XzSource&) = delete;

  Result<void> start() {
    if (lzma_stream_decoder(&stream_, kXzMemory, LZMA_CONCATENATED) != LZMA_OK)
      return fail(ErrorKind::exhausted, "not enough memory to read xz data");
    return {};
  }

  Result<std::size_t> read(std::span<char> buffer) override {
    if (ended_) return std::size_t{0};
    stream_.next_out = bytes(buffer.data());
    stream_.avail_out = buffer.size();
    while (stream_.avail_out == buffer.size()) {
      std::string_view data = TRY(input_.peek());
      stream_.next_in = bytes(data.data());
      stream_.avail_in = data.size();
      const lzma_ret result = lzma_code(&stream_, data.empty() ? LZMA_FINISH : LZMA_RUN);
      input_.consume(data.size() - stream_.avail_in);
      if (result == LZMA_STREAM_END) {
        ended_ = true;
        break;
      }
      if (result == LZMA_MEMLIMIT_ERROR)
        return fail(ErrorKind::exhausted, "the xz data asks for more than {} MiB of memory", kXzMemory >> 20);
      if (result == LZMA_BUF_ERROR) return cut_off("xz");
      if (result != LZMA_OK) return damaged("xz");
    }
    return buffer.size() - stream_.avail_out;
  }

 private:
  Input input_;
  lzma_stream stream_ = LZMA_STREAM_INIT;
  bool ended_ = false;
};

class Bzip2Source final : public Source {
 public:
  explicit Bzip2Source(Input input) : input_(std::move(input)) {}
  ~Bzip2Source() override {
    if (open_) BZ2_bzDecompressEnd(&stream_);
  }
  Bzip2Source(const Bzip2Source&) = delete;
  Bzip2Source& operator=(const Bzip2Source&) = delete;

  Result<std::size_t> read(std::span<char> buffer) override {
    const auto room = static_cast<unsigned>(std::min<std::size_t>(buffer.size(), 1u << 30));
    unsigned left = room;
    while (left == room) {
      std::string_view data = TRY(input_.peek());
      if (!open_) {  // between streams: bzip2 files may be concatenated
        if (data.empty()) break;
        stream_ = {};
        if (BZ2_bzDecompressInit(&stream_, 0, 0) != BZ_OK)
          return fail(ErrorKind::exhausted, "not enough memory to read bzip2 data");
        open_ = true;
      }
      if (data.empty()) return cut_off("bzip2");
      stream_.next_in = const_cast<char*>(data.data());
      stream_.avail_in = static_cast<unsigned>(data.size());
      stream_.next_out = buffer.data();
      stream_.avail_out = room;
      const int result = BZ2_bzDecompress(&stream_);
      input_.consume(data.size() - stream_.avail_in);
      left = stream_.avail_out;
      if (result == BZ_STREAM_END) {
        BZ2_bzDecompressEnd(&stream_);
        open_ = false;
      } else if (result != BZ_OK) {
        return damaged("bzip2");
      }
    }
    return std::size_t{room - left};
  }

 private:
  Input input_;
  bz_stream stream_ = {};
  bool open_ = false;
};

class LimitedSource final : public Source {
 public:
  LimitedSource(std::unique_ptr<Source> inner, std::uint64_t limit)
      : inner_(std::move(inner)), limit_(limit) {}
  Result<std::size_t> read(std::span<char> buffer) override {
    const std::size_t size = TRY(inner_->read(buffer));
    if (size > limit_ - total_)
      return fail(ErrorKind::exhausted, "the compressed data unpacks to more than {} bytes", limit_);
    total_ += size;
    return size;
  }

 private:
  std::unique_ptr<Source> inner_;
  std::uint64_t limit_;
  std::uint64_t total_ = 0;
};

class PlainSink final : public Sink {
 public:
  explicit PlainSink(Sink& output) : output_(output) {}
  Result<void> write(std::string_view data) override { return output_.write(data); }
  Result<void> finish() override { return output_.finish(); }

 private:
  Sink& output_;
};

// ISA-L's levels are 0 to 3; all are faster than zlib's fastest.
class GzipSink final : public Sink {
 public:
  GzipSink(Sink& output, int level)
      : output_(output), stream_(std::make_unique<isal_zstream>()), out_(kOutput) {
    isal_deflate_init(stream_.get());
    static constexpr std::uint32_t kSizes[] = {ISAL_DEF_LVL0_DEFAULT, ISAL_DEF_LVL1_DEFAULT,
                                               ISAL_DEF_LVL2_DEFAULT, ISAL_DEF_LVL3_DEFAULT};
    work_.resize(std::max<std::size_t>(kSizes[level], 1));
    stream_->level = static_cast<std::uint32_t>(level);
    stream_->level_buf = work_.data();
    stream_->level_buf_size = kSizes[level];
    stream_->gzip_flag = IGZIP_GZIP;
    stream_->flush = NO_FLUSH;
  }

  Result<void> write(std::string_view data) override {
    while (!data.empty()) {
      const auto size = static_cast<std::uint32_t>(std::min<std::size_t>(data.size(), 1u << 30));
      stream_->next_in = bytes(data.data());
      stream_->avail_in = size;
      while (stream_->avail_in > 0) TRY(step());
      data.remove_prefix(size);
    }
    return {};
  }

  Result<void> finish() override {
    stream_->end_of_stream = 1;
    stream_->avail_in = 0;
    do TRY(step());
    while (stream_->internal_state.state != ZSTATE_END);
    return output_.finish();
  }

 private:
  Result<void> step() {
    stream_->next_out = out_.data();
    stream_->avail_out = static_cast<std::uint32_t>(out_.size());
    if (isal_deflate(stream_.get()) != COMP_OK) return fail(ErrorKind::system, "compress gzip data");
    const std::size_t size = out_.size() - stream_->avail_out;
    return output_.write({reinterpret_cast<const char*>(out_.data()), size});
  }

  Sink& output_;
  std::unique_ptr<isal_zstream> stream_;
  std::vector<std::uint8_t> work_;
  std::vector<std::uint8_t> out_;
};

class ZstdSink final : public Sink {
 public:
  ZstdSink(Sink& output, int level)
      : output_(output), stream_(ZSTD_createCCtx(), ZSTD_freeCCtx), out_(kOutput) {
    ZSTD_CCtx_setParameter(stream_.get(), ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(stream_.get(), ZSTD_c_checksumFlag, 1);
  }

  Result<void> write(std::string_view data) override {
    ZSTD_inBuffer in{data.data(), data.size(), 0};
    while (in.pos < in.size) TRY(step(in, ZSTD_e_continue));
    return {};
  }

  Result<void> finish() override {
    ZSTD_inBuffer in{nullptr, 0, 0};
    while (TRY(step(in, ZSTD_e_end)) != 0) {
    }
    return output_.finish();
  }

 private:
  Result<std::size_t> step(ZSTD_inBuffer& in, ZSTD_EndDirective directive) {
    ZSTD_outBuffer out{out_.data(), out_.size(), 0};
    const std::size_t left = ZSTD_compressStream2(stream_.get(), &out, &in, directive);
    if (ZSTD_isError(left)) return fail(ErrorKind::system, "compress zstd data: {}", ZSTD_getErrorName(left));
    if (out.pos > 0) TRY(output_.write({out_.data(), out.pos}));
    return left;
  }

  Sink& output_;
  std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> stream_;
  std::vector<char> out_;
};

bool starts_with(std::string_view head, std::string_view magic) {
  return head.substr(0, magic.size()) == magic;
}

// zstd's skippable frames have one of 16 magic numbers; a stream may begin with one.
bool is_zstd(std::string_view head) {
  if (starts_with(head, "\x28\xb5\x2f\xfd")) return true;
  return head.size() >= 4 && (static_cast<unsigned char>(head[0]) & 0xf0) == 0x50 &&
         head.substr(1, 3) == "\x2a\x4d\x18";
}

}  // namespace

Compression detect_compression(std::string_view head) {
  if (starts_with(head, "\x1f\x8b\x08")) return Compression::gzip;
  if (is_zstd(head)) return Compression::zstd;
  if (starts_with(head, std::string_view("\xfd"
                                         "7zXZ\0",
                                         6)))
    return Compression::xz;
  // A tar can begin with a name like "BZh9": bzip2 goes on with a digit for its block size.
  if (head.size() >= 6 && starts_with(head, "BZh") && head[3] >= '1' && head[3] <= '9' &&
      (head.substr(4, 2) == "\x31\x41" || head.substr(4, 2) == "\x17\x72"))
    return Compression::bzip2;
  return Compression::none;
}

Result<std::unique_ptr<Source>> decompress(Source& compressed, std::uint64_t limit) {
  std::string head(kMagicSize, '\0');
  std::size_t have = 0;
  while (have < head.size()) {
    const std::size_t size = TRY(compressed.read(std::span<char>(head).subspan(have)));
    if (size == 0) break;
    have += size;
  }
  head.resize(have);
  const Compression compression = detect_compression(head);
  Input input(compressed, std::move(head));
  std::unique_ptr<Source> plain;
  switch (compression) {
    case Compression::none:
      plain = std::make_unique<PlainSource>(std::move(input));
      break;
    case Compression::gzip:
      plain = std::make_unique<GzipSource>(std::move(input));
      break;
    case Compression::zstd:
      plain = std::make_unique<ZstdSource>(std::move(input));
      break;
    case Compression::bzip2:
      plain = std::make_unique<Bzip2Source>(std::move(input));
      break;
    case Compression::xz: {
      auto xz = std::make_unique<XzSource>(std::move(input));
      TRY(xz->start());
      plain = std::move(xz);
      break;
    }
  }
  return std::make_unique<LimitedSource>(std::move(plain), limit);
}

Result<std::unique_ptr<Sink>> compress(Sink& output, Compression compression, int level) {
  switch (compression) {
    case Compression::none:
      return std::make_unique<PlainSink>(output);
    case Compression::gzip:
      return std::make_unique<GzipSink>(output, std::clamp(level == 0 ? 1 : level, 0, 3));
    case Compression::zstd:
      return std::make_unique<ZstdSink>(output, level == 0 ? 3 : level);
    default:
      return fail(ErrorKind::unsupported, "only gzip and zstd can be written");
  }
}

}  // namespace berth::archive
