// SPDX-License-Identifier: Apache-2.0
#include "cli/build/context.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>

#include "archive/compression.h"
#include "archive/detect.h"
#include "archive/pack.h"
#include "base/file.h"
#include "base/text.h"
#include "cli/create/security.h"
#include "dockerfile/dockerfile.h"
#include "dockerfile/git_reference.h"
#include "dockerfile/ignore.h"

namespace berth::cli {
namespace {

constexpr std::string_view kStandardName = "Dockerfile";

class JoinedSource final : public archive::Source {
 public:
  JoinedSource(std::string text, std::unique_ptr<archive::Source> rest)
      : text_(std::move(text)), rest_(std::move(rest)) {}
  Result<std::size_t> read(std::span<char> buffer) override {
    if (at_ == text_.size()) return rest_ ? rest_->read(buffer) : 0;
    const std::size_t size = text_.copy(buffer.data(), buffer.size(), at_);
    at_ += size;
    return size;
  }

 private:
  std::string text_;
  std::size_t at_ = 0;
  std::unique_ptr<archive::Source> rest_;
};

struct TextFile {
  std::string name;
  std::string text;
};

// What is packed of a directory.
struct Selection {
  Fd root;
  dockerfile::IgnoreRules rules;
  std::vector<std::string> always;  // whatever the rules say
  std::vector<TextFile> added;      // that are not in the directory

  bool wants(std::string_view path, bool directory) const {
    for (const std::string& name : always)
      if (path == name || (directory && name.starts_with(std::string(path) + "/"))) return true;
    return !rules.excluded(path) || (directory && rules.may_include_below(path));
  }
};

// The canonical path of what is there.
Result<std::string> real_path(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr), &std::free);
  if (!real) return fail(kind_of_errno(errno), "{}", words_of_errno(errno));
  return std::string(real.get());
}

bool is_below(std::string_view path, std::string_view directory) {
  if (directory == "/") return true;
  return path.starts_with(directory) && path.substr(directory.size()).starts_with('/');
}

Result<void> add_text(archive::TarWriter& writer, const TextFile& file) {
  archive::TarEntry entry;
  entry.name = file.name;
  entry.mode = 0644;
  entry.size = file.text.size();
  TRY(writer.add(entry));
  return writer.write(file.text);
}

Result<void> pack_selection(const Selection& selection, archive::Sink& sink) {
  archive::TarWriter writer(sink);
  archive::PackOptions options;
  options.filter = [&](const archive::PackItem& item, archive::TarEntry& entry) -> Result<bool> {
    if (!selection.wants(item.path, S_ISDIR(item.status.st_mode))) return false;
    entry.uid = entry.gid = 0;  // who has it here means nothing there
    return true;
  };
  TRY(archive::pack_into(writer, selection.root.get(), "/", options));
  for (const TextFile& file : selection.added) TRY(add_text(writer, file));
  return writer.finish();
}

std::unique_ptr<archive::Source> source_of(std::shared_ptr<const Selection> selection) {
  return std::make_unique<archive::ProducedSource>(
      [selection = std::move(selection)](archive::Sink& sink) -> Result<void> {
        TRY_AS("send the build context", pack_selection(*selection, sink));
        return {};
      });
}

Result<std::string> read_standard_input(std::string_view what) {
  archive::FdSource input(STDIN_FILENO);
  archive::StringSink text;
  Result<std::uint64_t> size = archive::copy_stream(input, text, dockerfile::kLongestDockerfile);
  if (!size && size.error().kind == ErrorKind::exhausted)
    return fail(ErrorKind::invalid, "{} on standard input has more than {} bytes", what,
                dockerfile::kLongestDockerfile);
  TRY_AS("read standard input", std::move(size));
  return text.take();
}

Result<std::string> optional_file(const std::string& path, bool& found) {
  found = false;
  Result<std::string> text = read_file(path);
  if (!text && (text.error().code == ENOENT || text.error().code == ENOTDIR)) return std::string();
  found = text.has_value();
  return text;
}

// Beside the Dockerfile under its name, otherwise that of the context.
Result<std::string> ignore_text(const std::string& root, const std::string& dockerfile) {
  bool found = false;
  if (!dockerfile.empty()) {
    std::string text = TRY(optional_file(dockerfile + ".dockerignore", found));
    if (found) return text;
  }
  return optional_file(root + "/.dockerignore", found);
}

// Under names that are new each time: files of the context never collide with them.
void add_dockerfile(Selection& selection, std::string& name, std::string text, std::string rules) {
  name = ".berth-" + random_identifier().substr(0, 16);
  const std::string ignore = name + ".dockerignore";
  rules += "\n" + name + "\n" + ignore + "\n";
  selection.added.push_back({name, std::move(text)});
  selection.added.push_back({ignore, std::move(rules)});
}

// The name below the root if that is where the file is, links and all.
std::optional<std::string> name_in(const std::string& root, const std::string& file,
                                   const std::string& real) {
  const std::size_t slash = file.rfind('/');
  const Result<std::string> parent = real_path(slash == file.npos ? "."
                                               : slash == 0       ? "/"
                                                                  : file.substr(0, slash));
  if (!parent || !is_below(real, root)) return std::nullopt;
  const std::string path =
      (*parent == "/" ? "" : *parent) + "/" + (slash == file.npos ? file : file.substr(slash + 1));
  if (!is_below(path, root)) return std::nullopt;
  return path.substr(root == "/" ? 1 : root.size() + 1);
}

Result<std::string> find_dockerfile(const std::string& root, const std::string& file) {
  std::string path = file;
  if (path.empty()) {
    path = root + "/" + std::string(kStandardName);
    if (!exists(path) && exists(root + "/dockerfile")) path = root + "/dockerfile";
    if (!exists(path))
      return fail(ErrorKind::not_found, "there is no Dockerfile in {}: name one with --file", root);
  }
  struct stat status;
  if (::stat(path.c_str(), &status) != 0)
    return fail(kind_of_errno(errno), "cannot open the Dockerfile {}: {}", path, words_of_errno(errno));
  if (!S_ISREG(status.st_mode)) return fail(ErrorKind::invalid, "the Dockerfile {} is not a file", path);
  return path;
}

Result<void> choose_dockerfile(const std::string& root, const std::string& file, LocalContext& local) {
  if (file == "-") {
    local.ignore = TRY(ignore_text(root, ""));
    local.dockerfile_name = "Dockerfile";
    local.dockerfile = TRY(read_standard_input("the Dockerfile"));
    return {};
  }
  const std::string path = TRY(find_dockerfile(root, file));
  const std::string real = TRY_AS(path, real_path(path));
  local.ignore = TRY(ignore_text(root, path));
  local.dockerfile = TRY(read_file(path, dockerfile::kLongestDockerfile));
  const std::optional<std::string> name = name_in(root, path, real);
  local.inside = name.has_value();
  local.dockerfile_name = name.value_or(path);
  if (!name) return {};
  local.kept = {*name, *name + ".dockerignore"};
  if (is_below(real, root)) local.kept.push_back(real.substr(root == "/" ? 1 : root.size() + 1));
  return {};
}

// What is mounted in user space shows itself to its own user alone, as a rule.
bool is_in_user_space(int directory) {
  struct statfs status;
  return fstatfs(directory, &status) == 0 && status.f_type == FUSE_SUPER_MAGIC;
}

Result<LocalContext> open_directory(const std::string& place, std::string& root) {
  Result<std::string> real = real_path(place);
  if (!real && real.error().kind == ErrorKind::not_found)
    return fail(ErrorKind::not_found, "unable to prepare context: path \"{}\" not found", place);
  if (!real) return fail(real.error().kind, "unable to prepare context: {}: {}", place, real.error().message);
  root = *real;
  LocalContext local;
  Result<Fd> opened = open_file(root, O_RDONLY | O_DIRECTORY);
  if (!opened && opened.error().code == ENOTDIR)
    return fail(ErrorKind::invalid, "unable to prepare context: {} is not a directory", place);
  local.root = TRY_AS("unable to prepare context", std::move(opened));
  local.readable_elsewhere = !is_in_user_space(local.root.get());
  return local;
}

Result<BuildContext> open_local(const std::string& place, const std::string& file) {
  std::string root;
  BuildContext context;
  context.local = TRY(open_directory(place, root));
  TRY_AS("unable to prepare context", choose_dockerfile(root, file, *context.local));
  return context;
}

// A tar as it is, or a Dockerfile that needs no files.
Result<BuildContext> open_standard_input(const std::string& file) {
  if (file == "-")
    return fail(ErrorKind::invalid,
                "invalid argument: can't use stdin for both build context and dockerfile");
  std::string head(archive::kTarBlock, '\0');
  std::size_t size = 0;
  while (size < head.size()) {
    const std::size_t got =
        TRY_AS("read standard input", read_some(STDIN_FILENO, {head.data() + size, head.size() - size}));
    if (got == 0) break;
    size += got;
  }
  head.resize(size);
  if (head.empty())
    return fail(ErrorKind::invalid, "standard input is empty: a tar or a Dockerfile is expected there");
  BuildContext context;
  if (begins_archive(head)) {
    context.dockerfile = file;
    context.body = in_front_of(std::make_unique<archive::FdSource>(STDIN_FILENO), std::move(head));
    return context;
  }
  if (!file.empty())
    return fail(ErrorKind::invalid,
                "ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles");
  head += TRY(read_standard_input("the Dockerfile"));
  context.dockerfile = kStandardName;
  context.body = std::make_unique<archive::ProducedSource>(
      [text = std::move(head)](archive::Sink& sink) -> Result<void> {
        archive::TarWriter writer(sink);
        TRY(add_text(writer, {std::string(kStandardName), text}));
        return writer.finish();
      });
  return context;
}

}  // namespace

bool begins_archive(std::string_view head) {
  if (archive::detect_compression(head) != archive::Compression::none) return true;
  if (head.size() < archive::kTarBlock) return false;
  return head.find_first_not_of('\0') == head.npos ||
         archive::begins_tar(head);  // zeros are a tar without entries
}

std::unique_ptr<archive::Source> in_front_of(std::unique_ptr<archive::Source> rest, std::string text) {
  return std::make_unique<JoinedSource>(std::move(text), std::move(rest));
}

Result<BuildContext> open_build_context(const std::string& place, const std::string& file) {
  if (place == "-") return open_standard_input(file);
  const bool git = dockerfile::is_git_reference(place) && !exists(place);
  if (git) TRY(dockerfile::parse_git_reference(place));
  if (!git && !place.starts_with("http://") && !place.starts_with("https://")) return open_local(place, file);
  if (file == "-")
    return fail(ErrorKind::unsupported,
                "a Dockerfile on standard input cannot be combined with a context from an address");
  BuildContext context;
  context.remote = place;
  context.dockerfile = file;
  return context;
}

Result<void> send_local(BuildContext& context) {
  LocalContext local = std::move(*context.local);
  context.local.reset();
  auto selection = std::make_shared<Selection>();
  context.dockerfile = local.dockerfile_name;
  if (!local.inside)
    add_dockerfile(*selection, context.dockerfile, std::move(local.dockerfile), local.ignore);
  selection->root = std::move(local.root);
  selection->always = std::move(local.kept);
  selection->always.emplace_back(".dockerignore");
  selection->rules = TRY_AS(".dockerignore", dockerfile::IgnoreRules::parse(local.ignore));
  context.body = source_of(std::move(selection));
  return {};
}

Result<LocalContext> open_named_directory(const std::string& place) {
  std::string root;
  LocalContext local = TRY(open_directory(place, root));
  local.ignore = TRY(ignore_text(root, ""));
  return local;
}

}  // namespace berth::cli
