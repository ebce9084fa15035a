// SPDX-License-Identifier: Apache-2.0
// The part of a layer's tar that its tree does not give back: headers, padding, the trailer. Together with
// the tree's files it is the tar again, bit by bit.
//
// The file is a zstd stream of records, integers little-endian:
//   'R' u32 size, bytes                                  bytes of the tar as they are
//   'C' u64 size, u64 inode, u8 place, u32 size, path    `size` bytes of contents, which lie in a file
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "archive/stream.h"
#include "base/error.h"

namespace berth::layers {

enum class Place : std::uint8_t {
  tree = 'f',      // below fs/, links followed in there
  replaced = 'r',  // below replaced/
};

struct FramingRecord {
  bool contents = false;
  std::string bytes;        // of 'R'
  std::uint64_t size = 0;   // of 'C', as are these
  std::uint64_t inode = 0;  // of the file when it was written
  Place place = Place::tree;
  std::string path;
};

// Gathers small pieces of framing into records of a sensible size.
class FramingWriter {
 public:
  static Result<std::unique_ptr<FramingWriter>> create(int file);  // the caller keeps `file` open

  Result<void> framing(std::string_view bytes);
  Result<void> contents(const FramingRecord& record);
  Result<void> finish();

 private:
  explicit FramingWriter(int file) : file_(file) {}
  Result<void> flush();
  archive::FdSink file_;
  std::unique_ptr<archive::Sink> compressed_;
  std::string pending_;
};

class FramingReader {
 public:
  static Result<std::unique_ptr<FramingReader>> create(int file);  // the caller keeps `file` open

  // The next record into `record`; false at the end.
  Result<bool> next(FramingRecord& record);

 private:
  explicit FramingReader(int file) : file_(file) {}
  Result<bool> read_exactly(std::span<char> out);  // false at a clean end
  template <class Integer>
  Result<Integer> read_integer();
  archive::FdSource file_;
  std::unique_ptr<archive::Source> plain_;
};

}  // namespace berth::layers
