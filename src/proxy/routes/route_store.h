// SPDX-License-Identifier: Apache-2.0
// Routes on disk, in an SQLite file: those of the admin API, which are nowhere else, and the last that other
// sources were seen to have, which hold until they can be asked again.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "db/database.h"
#include "proxy/routes/route_book.h"

namespace berth::proxy {

class RouteStore {
 public:
  static Result<std::unique_ptr<RouteStore>> open(const std::string& path);

  // Those of the admin API are durable when it returns; of other sources a power cut may lose the last.
  Result<void> write(Source source, const std::vector<RouteChange>& changes);
  Result<void> replace(Source source, const std::vector<RouteRef>& routes);
  // What cannot be read any more is left out, with a line in the log.
  Result<std::vector<RouteRef>> read(Source source, Endpoints& endpoints);

 private:
  explicit RouteStore(std::unique_ptr<db::Database> database) : database_(std::move(database)) {}
  std::unique_ptr<db::Database> database_;
};

}  // namespace berth::proxy
