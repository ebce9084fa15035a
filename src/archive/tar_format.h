// SPDX-License-Identifier: Apache-2.0
// The fields of a tar header block and what stands in them: for the reader and the writer alone.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "archive/tar.h"
#include "base/error.h"

namespace berth::archive::tar_format {

struct Field {
  std::size_t offset;
  std::size_t size;
};
inline constexpr Field kName{0, 100};
inline constexpr Field kMode{100, 8};
inline constexpr Field kUid{108, 8};
inline constexpr Field kGid{116, 8};
inline constexpr Field kSize{124, 12};
inline constexpr Field kMtime{136, 12};
inline constexpr Field kChecksum{148, 8};
inline constexpr std::size_t kType = 156;
inline constexpr Field kLinkName{157, 100};
inline constexpr Field kMagic{257, 8};  // with the version
inline constexpr Field kUserName{265, 32};
inline constexpr Field kGroupName{297, 32};
inline constexpr Field kDeviceMajor{329, 8};
inline constexpr Field kDeviceMinor{337, 8};
inline constexpr Field kPrefix{345, 155};
inline constexpr Field kStarPrefix{345, 131};
inline constexpr Field kStarTrailer{508, 4};
// Old GNU sparse files (type 'S').
inline constexpr std::size_t kGnuSparse = 386;
inline constexpr std::size_t kGnuSparseEntries = 4;
inline constexpr std::size_t kGnuIsExtended = 482;
inline constexpr Field kGnuRealSize{483, 12};
inline constexpr std::size_t kGnuExtensionEntries = 21;
inline constexpr std::size_t kGnuExtensionIsExtended = 504;

inline constexpr std::string_view kPosixMagic{"ustar\00000", 8};
inline constexpr std::string_view kGnuMagic{"ustar  \0", 8};

inline std::string_view text_in(std::string_view block, Field field) {
  std::string_view text = block.substr(field.offset, field.size);
  return text.substr(0, text.find('\0'));
}

// Octal with blanks around it, or base-256; nullopt when it is neither or does not fit.
std::optional<std::int64_t> number_in(std::string_view block, Field field);

bool checksum_matches(std::string_view block);
std::uint32_t checksum_of(std::string_view block);

// pax extended header records: "<length> <key>=<value>\n". The last of equal keys counts (POSIX).
using PaxRecords = std::vector<std::pair<std::string, std::string>>;
Result<PaxRecords> parse_pax(std::string_view text);
std::string format_pax(std::string_view key, std::string_view value);

// "[-]seconds[.fraction]", clamped to what a Timestamp can hold.
std::optional<Timestamp> parse_pax_time(std::string_view text);
Timestamp time_of_seconds(std::int64_t seconds);

// One piece of a sparse file that is stored.
struct Fragment {
  std::uint64_t offset;
  std::uint64_t size;
};
inline constexpr std::size_t kFragmentLimit = 1u << 17;

struct SparseFile {
  std::vector<Fragment> fragments;
  std::uint64_t real_size = 0;
};

// The map must be in order, without overlaps, inside the file, and store exactly `stored` bytes.
Result<void> check_sparse(const SparseFile& file, std::uint64_t stored);
// GNU's pax formats 0.0 and 0.1, where the map is in the records; nullopt when the records have none.
Result<std::optional<SparseFile>> sparse_in_records(const PaxRecords& records);
// Format 1.0: the map stands before the data. True for those records; `name` and `real_size` from them.
bool is_sparse_1_0(const PaxRecords& records);
std::optional<std::string> sparse_name(const PaxRecords& records);
std::optional<std::uint64_t> sparse_real_size(const PaxRecords& records);
// The decimal lines of a 1.0 map as far as they are there: nullopt when more of the text is needed.
Result<std::optional<std::vector<Fragment>>> parse_sparse_lines(std::string_view text);
// The entries in a header or extension block of the old format; stops at the first empty one.
Result<void> append_gnu_entries(std::string_view block, std::size_t offset, std::size_t count,
                                std::vector<Fragment>& fragments);

}  // namespace berth::archive::tar_format
