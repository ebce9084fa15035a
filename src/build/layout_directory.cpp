// SPDX-License-Identifier: Apache-2.0
#include "build/layout_directory.h"

#include <sys/stat.h>

#include <cerrno>

#include "image/platform_choice.h"
#include "sys/rooted_path.h"

namespace berth::build {
namespace {

std::string blob_path(const Digest& digest) { return "blobs/sha256/" + digest.hex(); }

Result<Fd> open_blob(const Tree& layout, const oci::Descriptor& blob) {
  const ReadingTree reading(layout);
  Fd file = TRY(sys::open_regular_in_root(layout.root.get(), blob_path(blob.digest)));
  struct stat status {};
  if (fstat(file.get(), &status) != 0) return fail_errno(errno, "look at {}", blob_path(blob.digest));
  if (status.st_size != blob.size)
    return fail(ErrorKind::corrupt, "{} has {} bytes, not {}", blob_path(blob.digest), status.st_size,
                blob.size);
  return file;
}

}  // namespace

Result<oci::Index> read_layout_index(const Tree& layout) {
  const ReadingTree reading(layout);
  Result<std::string> text = sys::read_file_in_root(layout.root.get(), "index.json", oci::kDocumentLimit);
  if (!text && text.error().kind == ErrorKind::not_found)
    return fail(ErrorKind::not_found, "the directory is no OCI layout: it has no index.json");
  if (!text) return std::unexpected(std::move(text).error());
  return TRY_AS("index.json", oci::parse_index(*text));
}

Result<std::string> read_layout_document(const Tree& layout, const Digest& digest) {
  const ReadingTree reading(layout);
  std::string bytes = TRY(sys::read_file_in_root(layout.root.get(), blob_path(digest), oci::kDocumentLimit));
  if (sha256_of(bytes) != digest)
    return fail(ErrorKind::corrupt, "{} has other bytes than its name says", blob_path(digest));
  return bytes;
}

Result<std::string> read_layout_document(const Tree& layout, const oci::Descriptor& descriptor) {
  std::string bytes = TRY(read_layout_document(layout, descriptor.digest));
  if (static_cast<std::int64_t>(bytes.size()) != descriptor.size)
    return fail(ErrorKind::corrupt, "{} has {} bytes, not {}", blob_path(descriptor.digest), bytes.size(),
                descriptor.size);
  return bytes;
}

Result<void> read_layout_blob(const Tree& layout, const oci::Descriptor& blob, archive::Sink& sink) {
  const Fd file = TRY(open_blob(layout, blob));
  archive::FdSource bytes(file.get());
  TRY(archive::copy_stream(bytes, sink, static_cast<std::uint64_t>(blob.size)));
  return {};
}

Result<oci::Manifest> read_manifest(std::string bytes, const ReadDocument& read, const oci::Platform& wanted,
                                    const std::string& name) {
  for (int depth = 0; depth <= image::kIndexDepth; ++depth) {
    std::variant<oci::Manifest, oci::Index> parsed = TRY(oci::parse_manifest_or_index(bytes));
    if (auto* manifest = std::get_if<oci::Manifest>(&parsed)) return std::move(*manifest);
    const oci::Descriptor chosen = TRY(image::choose_manifest(std::get<oci::Index>(parsed), wanted, name));
    bytes = TRY(read(chosen));
    TRY(image::check_chosen(chosen, bytes.size(), name));
  }
  return fail(ErrorKind::invalid, "its indexes are nested too deeply");
}

}  // namespace berth::build
