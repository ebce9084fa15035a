// SPDX-License-Identifier: Apache-2.0
#include "proxy/routes/route_store.h"

#include "base/log.h"
#include "proxy/routes/route_json.h"

namespace berth::proxy {
namespace {

const std::vector<db::Migration>& migrations() {
  static const std::vector<db::Migration> steps{
      {.room = "proxy",
       .version = 1,
       .sql = "CREATE TABLE routes(source TEXT NOT NULL, host TEXT NOT NULL, document TEXT NOT NULL, "
              "PRIMARY KEY(source, host)) WITHOUT ROWID"}};
  return steps;
}

Durability durability_of(Source source) {
  return source == Source::admin ? Durability::durable : Durability::visible;
}

Result<void> put(db::Transaction& transaction, Source source, const Route& route) {
  TRY(transaction.run("INSERT OR REPLACE INTO routes(source, host, document) VALUES(?, ?, ?)",
                      name_of(source), route.host, format_route(route)));
  return {};
}

}  // namespace

Result<std::unique_ptr<RouteStore>> RouteStore::open(const std::string& path) {
  return std::unique_ptr<RouteStore>(new RouteStore(TRY_AS("store", db::Database::open(path, migrations()))));
}

Result<void> RouteStore::write(Source source, const std::vector<RouteChange>& changes) {
  db::Transaction transaction = TRY(database_->begin(durability_of(source)));
  for (const RouteChange& change : changes) {
    if (change.route)
      TRY(put(transaction, source, *change.route));
    else
      TRY(transaction.run("DELETE FROM routes WHERE source = ? AND host = ?", name_of(source), change.host));
  }
  return transaction.commit();
}

Result<void> RouteStore::replace(Source source, const std::vector<RouteRef>& routes) {
  db::Transaction transaction = TRY(database_->begin(durability_of(source)));
  TRY(transaction.run("DELETE FROM routes WHERE source = ?", name_of(source)));
  for (const RouteRef& route : routes) TRY(put(transaction, source, *route));
  return transaction.commit();
}

Result<std::vector<RouteRef>> RouteStore::read(Source source, Endpoints& endpoints) {
  db::Transaction transaction = TRY(database_->read());
  db::Statement select = TRY(transaction.prepare("SELECT host, document FROM routes WHERE source = ?"));
  TRY(select.bind(name_of(source)));
  std::vector<RouteRef> routes;
  while (TRY(select.step())) {
    Result<RouteRef> route = parse_route(select.text(0), select.text(1), endpoints);
    if (route)
      routes.push_back(std::move(*route));
    else
      log_warning("proxy", "the stored route of {} is left out: {}", select.text(0), route.error().message);
  }
  return routes;
}

}  // namespace berth::proxy
