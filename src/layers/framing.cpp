// SPDX-License-Identifier: Apache-2.0
#include "layers/framing.h"

#include <algorithm>

#include "archive/compression.h"
#include "archive/tar.h"

namespace berth::layers {
namespace {

constexpr std::size_t kGather = 64u << 10;
constexpr std::uint32_t kBytesLimit = 8u << 20;  // of one record, when read back

template <class Integer>
void append_integer(std::string& out, Integer value) {
  for (std::size_t i = 0; i < sizeof value; ++i, value = static_cast<Integer>(value >> 7 >> 1))
    out.push_back(static_cast<char>(value & 0xff));
}

std::unexpected<Error> damaged() { return fail(ErrorKind::corrupt, "the layer's framing is damaged"); }

}  // namespace

Result<std::unique_ptr<FramingWriter>> FramingWriter::create(int file) {
  std::unique_ptr<FramingWriter> writer(new FramingWriter(file));
  writer->compressed_ = TRY(archive::compress(writer->file_, archive::Compression::zstd, 1));
  return writer;
}

Result<void> FramingWriter::framing(std::string_view bytes) {
  pending_.append(bytes);
  return pending_.size() >= kGather ? flush() : Result<void>{};
}

Result<void> FramingWriter::flush() {
  for (std::string_view rest = pending_; !rest.empty();) {
    std::string_view part = rest.substr(0, kBytesLimit);
    std::string head = "R";
    append_integer(head, static_cast<std::uint32_t>(part.size()));
    TRY(compressed_->write(head));
    TRY(compressed_->write(part));
    rest.remove_prefix(part.size());
  }
  pending_.clear();
  return {};
}

Result<void> FramingWriter::contents(const FramingRecord& record) {
  TRY(flush());
  std::string head = "C";
  append_integer(head, record.size);
  append_integer(head, record.inode);
  head.push_back(static_cast<char>(record.place));
  append_integer(head, static_cast<std::uint32_t>(record.path.size()));
  TRY(compressed_->write(head));
  return compressed_->write(record.path);
}

Result<void> FramingWriter::finish() {
  TRY(flush());
  return compressed_->finish();
}

Result<std::unique_ptr<FramingReader>> FramingReader::create(int file) {
  std::unique_ptr<FramingReader> reader(new FramingReader(file));
  reader->plain_ = TRY(archive::decompress(reader->file_));
  return reader;
}

Result<bool> FramingReader::read_exactly(std::span<char> out) {
  bool any = false;
  while (!out.empty()) {
    const std::size_t size = TRY(plain_->read(out));
    if (size == 0) {
      if (any) return damaged();
      return false;
    }
    any = true;
    out = out.subspan(size);
  }
  return true;
}

template <class Integer>
Result<Integer> FramingReader::read_integer() {
  unsigned char bytes[sizeof(Integer)];
  if (!TRY(read_exactly({reinterpret_cast<char*>(bytes), sizeof bytes}))) return damaged();
  std::uint64_t value = 0;
  for (std::size_t i = sizeof bytes; i-- > 0;) value = value << 8 | bytes[i];
  return static_cast<Integer>(value);
}

Result<bool> FramingReader::next(FramingRecord& record) {
  char kind;
  if (!TRY(read_exactly({&kind, 1}))) return false;
  record = FramingRecord{};
  record.contents = kind == 'C';
  std::string& text = record.contents ? record.path : record.bytes;
  std::uint32_t limit = kBytesLimit;
  if (record.contents) {
    record.size = TRY(read_integer<std::uint64_t>());
    record.inode = TRY(read_integer<std::uint64_t>());
    record.place = static_cast<Place>(TRY(read_integer<std::uint8_t>()));
    if (record.place != Place::tree && record.place != Place::replaced) return damaged();
    limit = archive::kTarNameLimit;
  } else if (kind != 'R') {
    return damaged();
  }
  const std::uint32_t size = TRY(read_integer<std::uint32_t>());
  if (size == 0 || size > limit) return damaged();
  text.resize(size);
  if (!TRY(read_exactly(text))) return damaged();
  return true;
}

}  // namespace berth::layers
