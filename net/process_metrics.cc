#include "net/process_metrics.h"

#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iomanip>
#include <sstream>
#include <vector>

#include "base/version.h"

namespace uhd {
namespace {

void add(std::ostringstream& out, const char* name, const char* type, const char* help, double value) {
  out << "# HELP " << name << ' ' << help << "\n# TYPE " << name << ' ' << type << '\n'
      << name << ' ' << std::setprecision(15) << value << '\n';
}

// The fields of /proc/self/stat behind the program's name, which may hold anything (proc(5): field 3 is the
// first here).
std::vector<double> stat_fields() {
  std::ifstream file("/proc/self/stat");
  std::string text;
  std::getline(file, text);
  std::istringstream rest(text.substr(std::min(text.rfind(')') + 2, text.size())));
  std::string state;
  rest >> state;
  std::vector<double> fields{0};
  for (double field = 0; rest >> field;) fields.push_back(field);
  return fields;
}

// The second at which the system began, since 1970.
double boot_time() {
  std::ifstream file("/proc/stat");
  for (std::string word; file >> word;) {
    double value = 0;
    if (word == "btime" && file >> value) return value;
  }
  return 0;
}

int open_files() {
  std::error_code failed;
  int count = 0;
  for (std::filesystem::directory_iterator at("/proc/self/fd", failed), end; !failed && at != end;
       at.increment(failed)) {
    ++count;
  }
  return count;
}

}  // namespace

std::string process_metrics() {
  constexpr size_t kUserTime = 14 - 3, kSystemTime = 15 - 3, kThreads = 20 - 3, kStart = 22 - 3;
  constexpr size_t kVirtual = 23 - 3, kResident = 24 - 3;
  std::ostringstream out;
  out << "# HELP uhd_build_info The program's version; the value is 1\n# TYPE uhd_build_info gauge\n"
      << "uhd_build_info{version=\"" << version() << "\"} 1\n";
  const std::vector<double> stat = stat_fields();
  if (stat.size() <= kResident) return out.str();
  const auto ticks = static_cast<double>(sysconf(_SC_CLK_TCK));
  const auto page = static_cast<double>(sysconf(_SC_PAGESIZE));
  add(out, "process_cpu_seconds_total", "counter", "Processor time of user and system, in seconds",
      (stat[kUserTime] + stat[kSystemTime]) / ticks);
  add(out, "process_resident_memory_bytes", "gauge", "Resident memory", stat[kResident] * page);
  add(out, "process_virtual_memory_bytes", "gauge", "Virtual memory", stat[kVirtual]);
  add(out, "process_threads", "gauge", "Threads", stat[kThreads]);
  add(out, "process_start_time_seconds", "gauge", "Start of the process, in seconds since 1970",
      boot_time() + stat[kStart] / ticks);
  add(out, "process_open_fds", "gauge", "Open file descriptors", open_files());
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    add(out, "process_max_fds", "gauge", "The most file descriptors", static_cast<double>(limit.rlim_cur));
  }
  return out.str();
}

}  // namespace uhd
