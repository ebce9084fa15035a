// SPDX-License-Identifier: Apache-2.0
#include "archive/tar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "archive/detect.h"
#include "archive/test_support.h"
#include "base/text.h"

namespace berth::archive {
namespace {

using test::DripSource;
using test::TarBuilder;

struct Read {
  TarEntry entry;
  std::string contents;  // holes filled
};

Result<std::vector<Read>> read_all(std::string_view tar, std::size_t step = 1u << 20) {
  DripSource source(tar, step);
  TarReader reader(source);
  std::vector<Read> entries;
  TarEntry entry;
  while (TRY(reader.next(entry))) {
    Read read{entry, {}};
    for (TarChunk chunk = TRY(reader.read()); !chunk.data.empty(); chunk = TRY(reader.read())) {
      read.contents.resize(chunk.offset);
      read.contents.append(chunk.data);
    }
    read.contents.resize(entry.size);
    entries.push_back(std::move(read));
  }
  TRY(reader.drain());
  return entries;
}

ErrorKind error_of(std::string_view tar) {
  Result<std::vector<Read>> read = read_all(tar);
  return read ? ErrorKind::not_modified : read.error().kind;
}

void fix_checksum(std::string& tar, std::size_t block = 0) {
  std::uint32_t sum = 0;
  tar.replace(block + 148, 8, "        ");
  for (std::size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(tar[block + i]);
  tar.replace(block + 148, 8, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
}

// One file of `size` bytes whose header field was overwritten.
std::string with_field(std::size_t offset, std::string_view bytes, std::string_view contents = "abc") {
  std::string tar = TarBuilder().file("f", contents).take();
  tar.replace(offset, bytes.size(), bytes);
  fix_checksum(tar);
  return tar;
}

std::string pax_header(std::string_view records, char flag = 'x') {
  std::string tar = TarBuilder().file("pax", records).take();
  tar.resize(tar.size() - 1024);
  tar[156] = flag;
  fix_checksum(tar);
  return tar;
}

std::string record(std::string_view text) {  // "key=value", with its length in front
  std::size_t size = text.size() + 3;
  while (std::to_string(size).size() + text.size() + 2 != size) ++size;
  return fmt::format("{} {}\n", size, text);
}

TEST(Tar, WhatIsWrittenIsRead) {
  TarEntry entry;
  entry.name = std::string(90, 'd') + "/" + std::string(99, 'f');
  entry.mode = 04751;
  entry.uid = 3'000'000;
  entry.gid = 4'294'967'294;
  entry.user_name = "someone";
  entry.mtime = Timestamp{-1'500'000'000};
  entry.xattrs = {{"user.a", std::string("\0=\n", 3)}, {"security.capability", std::string(20, '\1')}};
  TarEntry link;
  link.type = TarType::symbolic_link;
  link.name = "ünï";
  link.link_target = std::string(3000, 't');
  std::string tar = TarBuilder().add(entry, "contents").add(link).device("null", 1, 3).directory("d/").take();
  EXPECT_EQ(tar.size() % 512, 0u);
  for (std::size_t step : {1, 7, 512, 100'000}) {
    Result<std::vector<Read>> read = read_all(tar, step);
    ASSERT_TRUE(read) << read.error().message;
    ASSERT_EQ(read->size(), 4u);
    const TarEntry& got = (*read)[0].entry;
    EXPECT_EQ(got.name, entry.name);
    EXPECT_EQ(got.mode, entry.mode);
    EXPECT_EQ(got.uid, entry.uid);
    EXPECT_EQ(got.gid, entry.gid);
    EXPECT_EQ(got.user_name, "someone");
    EXPECT_EQ(got.mtime, entry.mtime);
    EXPECT_EQ(got.xattrs, entry.xattrs);
    EXPECT_EQ((*read)[0].contents, "contents");
    EXPECT_EQ((*read)[1].entry.name, "ünï");
    EXPECT_EQ((*read)[1].entry.link_target, link.link_target);
    EXPECT_EQ((*read)[2].entry.device_minor, 3u);
    EXPECT_EQ((*read)[3].entry.type, TarType::directory);
  }
}

TEST(Tar, FractionsOfASecondOnlyOnRequest) {
  TarEntry entry;
  entry.name = "f";
  entry.mtime = Timestamp{1'500'000'000'123'456'789};
  for (bool fractions : {false, true}) {
    StringSink sink;
    TarWriter writer(sink, fractions);
    ASSERT_TRUE(writer.add(entry));
    ASSERT_TRUE(writer.finish());
    EXPECT_EQ(sink.text().size(), fractions ? 2560u : 1536u);
    EXPECT_EQ(read_all(sink.text()).value()[0].entry.mtime.nanoseconds,
              fractions ? 1'500'000'000'123'456'789 : 1'500'000'000'000'000'000);
  }
}

TEST(Tar, TheWriterHoldsTheCallerToTheSize) {
  StringSink sink;
  TarWriter writer(sink);
  TarEntry entry;
  entry.name = "f";
  entry.size = 3;
  ASSERT_TRUE(writer.add(entry));
  EXPECT_FALSE(writer.finish());
  EXPECT_FALSE(writer.write("abcd"));
  EXPECT_TRUE(writer.write("abc"));
  EXPECT_TRUE(writer.finish());
}

TEST(Tar, NumbersThatAreNoneAreErrors) {
  const std::string_view negative("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12);
  const std::string_view overflow("\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12);
  EXPECT_EQ(error_of(with_field(124, negative)), ErrorKind::corrupt);
  EXPECT_EQ(error_of(with_field(124, overflow)), ErrorKind::corrupt);
  EXPECT_EQ(error_of(with_field(124, "-0000000003")), ErrorKind::corrupt);
  EXPECT_EQ(error_of(with_field(124, "00000000009")), ErrorKind::corrupt);
  EXPECT_EQ(error_of(with_field(124, "777777777777")), ErrorKind::corrupt);  // more than there is
  EXPECT_EQ(error_of(with_field(108, "\xff\xff\xff\xff\xff\xff\xff\xff")), ErrorKind::corrupt);
  // 4294967295 would mean "leave the owner alone", which is root.
  EXPECT_EQ(error_of(with_field(108, std::string_view("\x80\0\0\0\xff\xff\xff\xff", 8))), ErrorKind::corrupt);
  EXPECT_EQ(error_of(with_field(108, std::string_view("\x80\0\0\1\0\0\0\0", 8))), ErrorKind::corrupt);
  EXPECT_EQ(error_of(with_field(108, std::string_view("\x80\0\0\0\xff\xff\xff\xfe", 8))),
            ErrorKind::not_modified);
  EXPECT_EQ(error_of(with_field(100, "rwxrwxr")), ErrorKind::corrupt);
}

TEST(Tar, Base256AndNegativeTimesAreRead) {
  std::string tar = with_field(136, std::string_view("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe", 12));
  EXPECT_EQ(read_all(tar).value()[0].entry.mtime.nanoseconds, -2'000'000'000);
  tar = with_field(124, std::string_view("\x80\0\0\0\0\0\0\0\0\0\0\3", 12));
  EXPECT_EQ(read_all(tar).value()[0].contents, "abc");
  tar = with_field(136, "77777777777");
  EXPECT_EQ(read_all(tar).value()[0].entry.mtime.nanoseconds, 8'589'934'591 * 1'000'000'000);
}

TEST(Tar, DamageIsFound) {
  std::string tar = TarBuilder().file("first", "abc").file("second", std::string(1000, 'x')).take();
  std::string flipped = tar;
  flipped[3] ^= 1;
  EXPECT_EQ(error_of(flipped), ErrorKind::corrupt);
  EXPECT_EQ(error_of(with_field(156, "Z")), ErrorKind::corrupt);
  EXPECT_EQ(error_of(with_field(156, "M")), ErrorKind::corrupt);
  EXPECT_EQ(error_of(with_field(0, std::string_view("\0", 1))), ErrorKind::corrupt);
  for (std::size_t size = 1; size < tar.size() - 1024; size += 97) {
    const bool boundary = size == 1024;  // behind the first entry: an archive without a trailer
    EXPECT_EQ(error_of(std::string_view(tar).substr(0, size)),
              boundary ? ErrorKind::not_modified : ErrorKind::corrupt)
        << size;
  }
  EXPECT_EQ(error_of(std::string_view(tar).substr(0, tar.size() - 1024)), ErrorKind::not_modified);
  std::string one_zero_block = TarBuilder().file("a", "").take();
  one_zero_block.resize(1024);
  one_zero_block += TarBuilder().file("b", "").take();
  EXPECT_EQ(error_of(one_zero_block), ErrorKind::corrupt);
}

TEST(Tar, PaxRecordsAreStrict) {
  const std::string file = TarBuilder().file("f", "abc").take();
  for (std::string_view records :
       {"", "x", "5 a=b\n", "7 a=b\n", "06 a=b\n x", "6 a=bc", "99999999999999999999 a=b\n", "-6 a=b\n",
        "6  a=b\n", "5 =b\n", "6 abc\n", "0 a=b\n"}) {
    if (records.empty()) continue;
    EXPECT_EQ(error_of(pax_header(records) + file), ErrorKind::corrupt) << records;
  }
  EXPECT_EQ(read_all(pax_header("6 a=b\n") + file).value()[0].entry.name, "f");
  EXPECT_EQ(error_of(pax_header(record("size=-1")) + file), ErrorKind::corrupt);
  EXPECT_EQ(error_of(pax_header(record("size=18446744073709551617")) + file), ErrorKind::corrupt);
  EXPECT_EQ(error_of(pax_header(record("uid=4294967296")) + file), ErrorKind::corrupt);
  EXPECT_EQ(error_of(pax_header(record("uid=4294967295")) + file), ErrorKind::corrupt);
  EXPECT_EQ(error_of(pax_header(record("mtime=1e9")) + file), ErrorKind::corrupt);
  EXPECT_EQ(error_of(pax_header(record(std::string("path=a\0b", 8))) + file), ErrorKind::corrupt);
  EXPECT_EQ(error_of(pax_header(record("a=b"))), ErrorKind::corrupt) << "nothing follows it";
  EXPECT_EQ(error_of(pax_header(record("a=b")) + pax_header(record("a=c")) + file), ErrorKind::corrupt);
  EXPECT_EQ(error_of(pax_header(record("path=" + std::string(70'000, 'x'))) + file), ErrorKind::corrupt);
  EXPECT_EQ(error_of(pax_header(record("size=0"), 'g') + file), ErrorKind::corrupt);
  EXPECT_EQ(error_of(pax_header(record("comment=git"), 'g') + file), ErrorKind::not_modified);
  std::string huge = pax_header(record("a=b"));
  huge.replace(124, 12, "77777777777\0", 12);
  fix_checksum(huge);
  EXPECT_EQ(error_of(huge), ErrorKind::corrupt);
}

// Readers that take the size from different places disagree on where the next header is: an entry that one
// scans and the other runs. The pax size counts (POSIX), so what hides in the contents stays contents.
TEST(Tar, ThePaxSizeDecidesWhereTheNextHeaderIs) {
  const std::string hidden = TarBuilder().file("hidden", "").take().substr(0, 512);
  std::string outer = TarBuilder().file("outer", hidden).take();
  outer.replace(124, 12, "00000000000\0", 12);
  fix_checksum(outer);
  Result<std::vector<Read>> read = read_all(pax_header(record("size=512")) + outer);
  ASSERT_TRUE(read);
  ASSERT_EQ(read->size(), 1u);
  EXPECT_EQ((*read)[0].contents, hidden);
}

TEST(Tar, OldDirectoriesEndInASlash) {
  std::string tar = TarBuilder().file("dir/", "").take();
  tar[156] = '\0';
  tar.replace(257, 8, std::string(8, '\0'));
  fix_checksum(tar);
  EXPECT_EQ(read_all(tar).value()[0].entry.type, TarType::directory);
}

TEST(Tar, ObserversSeeEveryByteOnce) {
  struct Recorder : TarObserver {
    std::string all;
    std::size_t contents = 0;
    Result<void> framing(std::string_view bytes) override {
      all += bytes;
      return {};
    }
    Result<void> content(std::string_view bytes) override {
      all += bytes;
      contents += bytes.size();
      return {};
    }
  };
  std::string tar = TarBuilder().file("a", std::string(700, 'a')).directory("d/").file("b", "b").take();
  tar += std::string(5000, '\0');
  for (bool skip : {false, true}) {
    Recorder recorder;
    DripSource source(tar, 333);
    TarReader reader(source, &recorder);
    TarEntry entry;
    while (reader.next(entry).value())
      while (!skip && !reader.read().value().data.empty()) {
      }
    ASSERT_TRUE(reader.drain());
    EXPECT_EQ(recorder.all, tar);
    EXPECT_EQ(recorder.contents, 701u);
  }
}

// Everything GNU tar and Python write of one tree, in all their formats, reads the same.
class TarFormats : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(, TarFormats,
                         testing::Values("gnu", "posix", "ustar", "v7", "oldgnu", "python-pax", "python-gnu",
                                         "python-ustar"),
                         [](const auto& format) {
                           std::string name = format.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_P(TarFormats, AreRead) {
  TemporaryDirectory temporary = TemporaryDirectory::create("tar-formats").value();
  const std::string tree = temporary.path() + "/tree";
  const std::string tar = temporary.path() + "/t.tar";
  const bool v7 = GetParam() == "v7" || GetParam() == "oldgnu";
  const bool limited = v7 || GetParam() == "ustar" || GetParam() == "python-ustar";
  ASSERT_TRUE(make_directories(tree + "/dir", 0755));
  test::write(tree + "/dir/file", std::string(1234, 'x'), 0640);
  ASSERT_EQ(link((tree + "/dir/file").c_str(), (tree + "/dir/link").c_str()), 0);
  ASSERT_EQ(symlink("../nowhere", (tree + "/sym").c_str()), 0);
  const std::string long_name = limited ? "short" : std::string(200, 'n');
  test::write(tree + "/" + long_name, "", 0600);
  if (!limited) {
    ASSERT_EQ(symlink(std::string(300, 't').c_str(), (tree + "/longlink").c_str()), 0);
  }
  if (GetParam().starts_with("python-")) {
    test::run(
        {"python3", "-c",
         "import sys,tarfile\n"
         "f={'pax':tarfile.PAX_FORMAT,'gnu':tarfile.GNU_FORMAT,'ustar':tarfile.USTAR_FORMAT}[sys.argv[1]]\n"
         "t=tarfile.open(sys.argv[2],'w',format=f); t.add(sys.argv[3],'.'); t.close()",
         GetParam().substr(7), tar, tree});
  } else {
    test::run({"tar", "--format=" + GetParam(), "--sort=name", "-C", tree, "-cf", tar, "."});
  }
  Result<std::vector<Read>> read = read_all(read_file(tar).value(), 1000);
  ASSERT_TRUE(read) << read.error().message;
  std::map<std::string, Read> by_name;
  for (Read& entry : *read) by_name.emplace(std::string(trim(entry.entry.name)), std::move(entry));
  auto find = [&](const std::string& name) -> Read {
    for (const std::string& full : {"./" + name, "./" + name + "/", name})
      if (by_name.contains(full)) return by_name[full];
    ADD_FAILURE() << name << " is missing";
    return {};
  };
  EXPECT_EQ(find("dir").entry.type, TarType::directory);
  Read file = find("dir/file");
  Read other = find("dir/link");
  if (file.entry.type == TarType::hard_link) std::swap(file, other);
  EXPECT_EQ(file.contents, std::string(1234, 'x'));
  EXPECT_EQ(file.entry.mode, 0640u);
  EXPECT_EQ(other.entry.type, TarType::hard_link);
  EXPECT_EQ(find("sym").entry.link_target, "../nowhere");
  EXPECT_EQ(find(long_name).entry.mode, 0600u);
  if (!limited) {
    EXPECT_EQ(find("longlink").entry.link_target, std::string(300, 't'));
  }
}

// GNU tar's four ways to store a sparse file.
class SparseFormats : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(, SparseFormats, testing::Values("gnu", "0.0", "0.1", "1.0"),
                         [](const auto& format) {
                           std::string name = "v" + format.param;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

TEST_P(SparseFormats, AreExpanded) {
  TemporaryDirectory temporary = TemporaryDirectory::create("tar-sparse").value();
  const std::string path = temporary.path() + "/sparse";
  Fd file = open_file(path, O_WRONLY | O_CREAT, 0600).value();
  const int holes = 60;  // more than fit a header and its first extension
  for (int i = 0; i < holes; ++i) {
    ASSERT_EQ(pwrite(file.get(), "data", 4, static_cast<off_t>(i) * 65536), 4);
  }
  ASSERT_EQ(ftruncate(file.get(), 70 * 65536), 0);
  std::vector<std::string> arguments = {
      "tar", "-S", "-C", temporary.path(), "-cf", temporary.path() + "/t.tar"};
  if (GetParam() == "gnu")
    arguments.push_back("--format=gnu");
  else
    arguments.insert(arguments.end(), {"--format=posix", "--sparse-version=" + GetParam()});
  arguments.push_back("sparse");
  test::run(arguments);
  const std::string tar = read_file(temporary.path() + "/t.tar").value();
  ASSERT_LT(tar.size(), 2'000'000u);
  for (std::size_t step : {511, 1'000'000}) {
    Result<std::vector<Read>> read = read_all(tar, step);
    ASSERT_TRUE(read) << read.error().message;
    ASSERT_EQ(read->size(), 1u);
    EXPECT_EQ((*read)[0].entry.name, "sparse");
    EXPECT_EQ((*read)[0].contents, read_file(path).value());
  }
}

TEST(Tar, SparseMapsThatMakeNoSenseAreErrors) {
  const std::string file = TarBuilder().file("f", "abc").take();
  auto map = [&](std::string_view text, std::string_view size) {
    return error_of(pax_header(record(fmt::format("GNU.sparse.map={}", text)) +
                               record(fmt::format("GNU.sparse.size={}", size))) +
                    file);
  };
  EXPECT_EQ(map("5,3", "10"), ErrorKind::not_modified);
  EXPECT_EQ(map("5,3", "7"), ErrorKind::corrupt);       // beyond the end
  EXPECT_EQ(map("5,2,4,1", "10"), ErrorKind::corrupt);  // backwards
  EXPECT_EQ(map("5,4", "10"), ErrorKind::corrupt);      // more than stored
  EXPECT_EQ(map("5", "10"), ErrorKind::corrupt);
  EXPECT_EQ(map("0,3", "-1"), ErrorKind::corrupt);
  EXPECT_EQ(map("18446744073709551615,3", "10"), ErrorKind::corrupt);
  EXPECT_EQ(map("0,3", "18446744073709551615"), ErrorKind::corrupt);
}

// Bytes that were flipped here and there end in an error or in entries, never in a crash or an endless loop.
TEST(Tar, SurvivesFlippedBytes) {
  TarEntry entry;
  entry.name = std::string(300, 'x');
  entry.xattrs = {{"user.a", "b"}};
  const std::string tar = TarBuilder().add(entry, "abc").link("l", "t").hard_link("h", "l").take();
  unsigned seed = 1;
  for (int round = 0; round < 3000; ++round) {
    std::string damaged = tar;
    for (int i = 0; i < 3; ++i) {
      seed = seed * 1103515245 + 12345;
      damaged[(seed >> 8) % damaged.size()] = static_cast<char>(seed >> 3);
    }
    for (std::size_t block = 0; block < damaged.size(); block += 512)
      if (damaged.compare(block + 257, 5, "ustar") == 0) fix_checksum(damaged, block);
    Result<std::vector<Read>> read = read_all(damaged, 700);
    if (!read) {
      EXPECT_EQ(read.error().kind, ErrorKind::corrupt);
    }
  }
}

TEST(Detect, ATarIsKnownByTheSumOfItsFirstHeader) {
  StringSink sink;
  TarWriter writer(sink);
  ASSERT_TRUE(writer.add({.name = "f", .mode = 0644, .size = 0}));
  ASSERT_TRUE(writer.finish());
  std::string tar = sink.take();
  EXPECT_TRUE(begins_tar(tar));
  EXPECT_TRUE(begins_tar(std::string_view(tar).substr(0, kTarBlock)));
  EXPECT_FALSE(begins_tar(std::string_view(tar).substr(0, kTarBlock - 1)));
  tar[0] = 'g';
  EXPECT_FALSE(begins_tar(tar));
  EXPECT_FALSE(begins_tar(std::string(1024, '\0')));
  EXPECT_FALSE(begins_tar(std::string(1024, 'x')));
}

}  // namespace
}  // namespace berth::archive
