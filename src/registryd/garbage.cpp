// SPDX-License-Identifier: Apache-2.0
#include "registryd/garbage.h"

#include <unordered_map>

namespace berth::registryd {

Result<GarbageReport> collect_garbage(Catalog& catalog, Storage& storage, const Vouched& vouched,
                                      const GarbageOptions& options,
                                      const std::function<void(std::string_view)>& say) {
  GarbageReport report;
  const std::vector<Catalog::Collectable> going =
      TRY(catalog.collect(!options.dry_run, options.delete_untagged, options.grace,
                          [&](const Digest& digest) { return vouched.holds(digest, options.grace); }));
  std::unordered_map<std::string, std::int64_t> would_go;  // references that a dry run left in place
  for (const Catalog::Collectable& item : going) {
    ++(item.is_manifest ? report.manifests : report.links);
    say(fmt::format("{}: {} {} is not used", item.repository, item.is_manifest ? "manifest" : "blob",
                    item.digest.text()));
    if (options.dry_run) ++would_go[item.digest.text()];
  }
  for (const Storage::Entry& blob : TRY(storage.list())) {
    auto is_needed = [&]() -> Result<bool> {
      const std::int64_t references = TRY(catalog.reference_count(blob.digest));
      if (!options.dry_run) return references > 0;
      auto found = would_go.find(blob.digest.text());
      return references > (found == would_go.end() ? 0 : found->second);
    };
    if (TRY(is_needed())) continue;  // asked again, and then surely, when it is removed
    if (!options.dry_run && !TRY(storage.remove_unless(blob.digest, is_needed))) continue;
    ++report.blobs;
    report.bytes += blob.size;
    say(fmt::format("blob eligible for deletion: {} ({} bytes)", blob.digest.text(), blob.size));
  }
  if (!options.dry_run) TRY(catalog.compact());
  return report;
}

}  // namespace berth::registryd
