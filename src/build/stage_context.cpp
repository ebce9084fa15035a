// SPDX-License-Identifier: Apache-2.0
// What --build-context puts in the place of a stage or an image.
#include "build/layout_directory.h"
#include "build/layout_image.h"
#include "build/stage.h"

namespace berth::build {

Result<oci::ImageConfig> StageBuilder::image_of_context(const std::string& name,
                                                        const std::optional<oci::Platform>& platform,
                                                        const Step& step) {
  const NamedContext& context = solve_.request.named_contexts.at(name);
  if (context.layout) return TRY_AS("the build context " + name, image_of_layout(*context.layout, platform));
  if (context.image.empty())
    return fail(ErrorKind::unsupported, "the build context {} is {}: FROM takes an image", name,
                context.tree ? "a directory" : context.address);
  if (context.image == "scratch") return empty_image(platform);
  image::Image image = TRY(base_image(solve_, context.image, platform, step));
  return std::move(image.config);
}

// Its layers stay as long as the build goes on, and longer if its result has them.
Result<oci::ImageConfig> StageBuilder::image_of_layout(const NamedContext::Layout& layout,
                                                       const std::optional<oci::Platform>& platform) {
  const oci::Platform wanted = platform.value_or(solve_.request.platform.value_or(oci::host_platform()));
  LayoutImage image = TRY(read_layout_image(layout, wanted));
  for (std::size_t number = 0; number < image.layers.size(); ++number) {
    const oci::Descriptor& blob = image.layers[number];
    const Digest& diff_id = image.config.diff_ids[number];
    auto read = [&](archive::Sink& sink, const std::stop_token&) {
      return read_layout_blob(*layout.directory, blob, sink);
    };
    TRY(solve_.services.options.images->fetch_layer(
        {.blob = blob, .diff_id = diff_id, .read = read, .stop = solve_.stop}));
    announce(diff_id);
  }
  return std::move(image.config);
}

Result<SourceTree> StageBuilder::tree_of_context(const std::string& name, const Step& step) {
  const NamedContext& context = solve_.request.named_contexts.at(name);
  if (context.tree) return SourceTree{context.tree, std::nullopt};
  if (!context.address.empty()) {
    std::shared_ptr<const Tree> tree =
        TRY_AS("the build context " + name, solve_.remotes.get(context.address, solve_.request, solve_.stop));
    return SourceTree{std::move(tree), std::nullopt};
  }
  oci::ImageConfig config = TRY(image_of_context(name, std::nullopt, step));
  std::shared_ptr<const Tree> tree = TRY(mount_tree(solve_, config.diff_ids));
  return SourceTree{std::move(tree), std::move(config.diff_ids)};
}

}  // namespace berth::build
