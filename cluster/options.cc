#include "cluster/options.h"

#include <array>
#include <cmath>
#include <string_view>

#include "base/error.h"

namespace uhd {
namespace {

template <size_t N>
void require_one_of(std::string_view key, const std::string& value,
                    const std::array<std::string_view, N>& known) {
  std::string list;
  for (std::string_view k : known) {
    if (value == k) return;
    list += list.empty() ? "" : ", ";
    list += k;
  }
  throw Error(message(key, " is '", value, "'; it can be: ", list));
}

void require_range(std::string_view key, double value, double lowest, double highest) {
  require(std::isfinite(value) && value >= lowest && value <= highest, key, " is ", value,
          "; it can be from ", lowest, " to ", highest);
}

}  // namespace

void check_options(const ClusterOptions& o) {
  require_range("llm.tensor_parallel", o.tensor_parallel, 1, 64);
  require_range("encoders.count", o.encoder_count, 0, 1024);
  require_range("cluster.control_port", o.control_port, 0, 65535);
  require_range("cluster.heartbeat_s", o.heartbeat_s, 0.01, 3600);
  require_range("cluster.lost_after_s", o.lost_after_s, 0.02, 3600);
  require(o.lost_after_s >= 2 * o.heartbeat_s, "cluster.lost_after_s is ", o.lost_after_s,
          "; it must be at least twice cluster.heartbeat_s, which is ", o.heartbeat_s);
  require_range("cluster.job_deadline_s", o.job_deadline_s, 0.1, 86400);
  require_range("cluster.step_deadline_s", o.step_deadline_s, 0.1, 86400);
  require_one_of("cluster.role", o.role, std::array<std::string_view, 3>{"auto", "llm", "encoder"});
  require_one_of("cluster.link", o.link, std::array<std::string_view, 3>{"auto", "mpi", "tcp"});
  require_one_of("cluster.ipc_all_reduce", o.ipc_all_reduce,
                 std::array<std::string_view, 3>{"off", "on", "auto"});
  require(!o.control_host.empty(), "cluster.control_host is empty; 127.0.0.1 listens on this host only");
}

}  // namespace uhd
