// SPDX-License-Identifier: Apache-2.0
#include "api/build_contexts.h"

#include <optional>

#include "build/plan.h"
#include "dockerfile/git_reference.h"

namespace berth::api {
namespace {

// What the document says, before it is looked at.
struct Layout {
  std::string context;
  std::string tag, digest;
};

bool is_remote(std::string_view address) {
  return dockerfile::is_git_reference(address) || address.starts_with("http://") ||
         address.starts_with("https://");
}

bool read_directory(ObjectReader& object, const std::string& name, std::vector<PassedContext>& passed) {
  std::optional<std::uint64_t> descriptor;
  PassedContext directory{.name = name, .descriptor = 0, .ignore = {}};
  object.read("descriptor", descriptor);
  object.read("ignore", directory.ignore);
  if (!descriptor) return false;
  directory.descriptor = *descriptor;
  passed.push_back(std::move(directory));
  return true;
}

}  // namespace

Result<void> read_build_contexts(ObjectReader& preamble, build::BuildRequest& request,
                                 std::vector<PassedContext>& passed) {
  std::vector<Layout> layouts;
  preamble.read_object("contexts", [&](ObjectReader& contexts) {
    contexts.each_object([&](std::string_view written, ObjectReader& object) {
      const std::string name = build::context_name(written);
      build::NamedContext& context = request.named_contexts[name];
      bool known = false;
      object.read("image", context.image);
      object.read("address", context.address);
      object.read_object("layout", [&](ObjectReader& inner) {
        Layout& layout = layouts.emplace_back();
        layout.context = name;
        inner.read("tag", layout.tag);
        inner.read("digest", layout.digest);
        known = read_directory(inner, name, passed);
        if (!known) inner.refuse("descriptor", "the place of the directory among those that are passed");
      });
      if (known && !(context.image.empty() && context.address.empty()))
        object.refuse("layout", "alone: a context is in one place");
      if (known || !context.image.empty()) return;
      if (!context.address.empty() && is_remote(context.address)) return;
      if (!read_directory(object, name, passed)) object.refuse("image", "an image's name");
    });
  });
  for (const Layout& layout : layouts) {
    build::NamedContext::Layout& into = request.named_contexts[layout.context].layout.emplace();
    into.tag = layout.tag;
    if (layout.digest.empty()) continue;
    into.digest = TRY_AS("the build context " + layout.context, Digest::parse(layout.digest));
  }
  return {};
}

}  // namespace berth::api
