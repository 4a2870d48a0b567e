#include "net/process_metrics.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <ctime>

#include "base/error.h"

namespace uhd {
namespace {

double process_value(const std::string& name) {
  const std::string text = message("\n", process_metrics());
  const size_t at = text.find(message("\n", name, " "));
  return at == std::string::npos ? -1 : std::stod(text.substr(at + name.size() + 2));
}

TEST(ProcessMetrics, TellOfThisProcess) {
  EXPECT_GT(process_value("process_resident_memory_bytes"), 1 << 20);
  EXPECT_GT(process_value("process_virtual_memory_bytes"), process_value("process_resident_memory_bytes"));
  EXPECT_GE(process_value("process_threads"), 1);
  EXPECT_GE(process_value("process_cpu_seconds_total"), 0);
  const auto now = static_cast<double>(std::time(nullptr));
  EXPECT_NEAR(process_value("process_start_time_seconds"), now, 3600);
  const double before = process_value("process_open_fds");
  const int more = dup(0);
  EXPECT_EQ(process_value("process_open_fds"), before + 1);
  close(more);
  EXPECT_GT(process_value("process_max_fds"), before);
  EXPECT_NE(process_metrics().find("uhd_build_info{version=\""), std::string::npos);
}

}  // namespace
}  // namespace uhd
