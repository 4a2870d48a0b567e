// The plugin of structured output: XGrammar behind the seam of model/text/grammar.h.
#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xgrammar/xgrammar.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <filesystem>

#include "base/archive.h"
#include "grammar/job.h"
#include "grammar/xgrammar_vocabulary.h"

extern "C" __attribute__((visibility("default"))) const uhd::GrammarPlugin uhd_grammar_plugin;

namespace xgrammar {
void SetParserSteps(int64_t steps);  // of this thread, until the parser throws: limits.patch
}

namespace uhd {
namespace {

// A mask of 150,000 tokens takes some 100,000 of the parser's steps; these take tens of milliseconds.
constexpr int64_t kMostSteps = 2'000'000;
constexpr double kWallPerCore = 4;  // a core's seconds may take so much longer on a busy machine
constexpr const char* kTooComplex = "the grammar is too complex: compiling it took too much time or memory";

class OpenFile {
 public:
  explicit OpenFile(int file) : file_(file) { require(file >= 0, "a file cannot be opened"); }
  ~OpenFile() { close(file_); }
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  int get() const { return file_; }

 private:
  int file_;
};

OpenFile memory_file() { return OpenFile(memfd_create("uhd_grammar", MFD_CLOEXEC)); }

// The compiler's program lies beside this library.
std::string program() {
  Dl_info place{};
  require(dladdr(&uhd_grammar_plugin, &place) != 0, "the grammar plugin does not know where it lies");
  return (std::filesystem::path(place.dli_fname).parent_path() / "uhd_grammar_compiler").string();
}

pid_t start(const std::string& path, int in, int out) {
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, in, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
  char name[] = "uhd_grammar_compiler";
  char* arguments[] = {name, nullptr};
  char* environment[] = {nullptr};
  pid_t child = 0;
  const int failed = posix_spawn(&child, path.c_str(), &files, nullptr, arguments, environment);
  posix_spawn_file_actions_destroy(&files);
  require(failed == 0, path, " cannot be started: run scripts/grammar");
  return child;
}

// Returns whether the process ended well by itself, within the time.
bool ends_well(pid_t child, double seconds) {
  bool in_time = false;
  if (const auto file = static_cast<int>(syscall(SYS_pidfd_open, child, 0)); file >= 0) {
    pollfd ended{file, POLLIN, 0};
    in_time = poll(&ended, 1, static_cast<int>(seconds * 1000)) == 1;
    close(file);
  }
  if (!in_time) kill(child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return in_time && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

class XGrammarMatcher final : public GrammarMatcher {
 public:
  explicit XGrammarMatcher(const xgrammar::CompiledGrammar& grammar)
      : matcher_(bounded(grammar), std::nullopt, false, 0) {}

  void next(std::span<int32_t> mask) override {
    xgrammar::SetParserSteps(kMostSteps);
    int64_t words = static_cast<int64_t>(mask.size());
    DLTensor tensor{};
    tensor.data = mask.data();
    tensor.device = {kDLCPU, 0};
    tensor.ndim = 1;
    tensor.dtype = xgrammar::GetBitmaskDLType();
    tensor.shape = &words;
    matcher_.FillNextTokenBitmask(&tensor);
  }
  bool accept(int32_t id) override {
    xgrammar::SetParserSteps(kMostSteps);
    return !ended() && matcher_.AcceptToken(id);
  }
  bool ended() const override { return matcher_.IsTerminated(); }

 private:
  // A matcher of the result takes a bounded number of steps.
  static const xgrammar::CompiledGrammar& bounded(const xgrammar::CompiledGrammar& grammar) {
    xgrammar::SetParserSteps(kMostSteps);
    return grammar;
  }

  xgrammar::GrammarMatcher matcher_;
};

class XGrammar final : public Grammar {
 public:
  explicit XGrammar(xgrammar::CompiledGrammar compiled) : compiled_(std::move(compiled)) {}
  std::unique_ptr<GrammarMatcher> matcher() const override {
    return std::make_unique<XGrammarMatcher>(compiled_);
  }
  size_t vocabulary() const override {
    return static_cast<size_t>(compiled_.GetTokenizerInfo().GetVocabSize());
  }
  size_t bytes() const override { return compiled_.MemorySizeBytes(); }

 private:
  xgrammar::CompiledGrammar compiled_;
};

class Compiler final : public GrammarCompiler {
 public:
  explicit Compiler(GrammarVocabulary vocabulary)
      : vocabulary_(std::move(vocabulary)), info_(xgrammar_vocabulary(vocabulary_)) {}

  std::shared_ptr<const Grammar> compile(const GrammarSpec& spec, double seconds) const override {
    GrammarResult result = compile_there(spec, seconds);
    if (!result.compiled) throw GrammarError(result.text);
    auto read = xgrammar::CompiledGrammar::DeserializeJSON(result.text, info_);
    auto* compiled = std::get_if<xgrammar::CompiledGrammar>(&read);
    require(compiled != nullptr, "the compiled grammar cannot be read");
    auto grammar = std::make_shared<XGrammar>(std::move(*compiled));
    check_beginning(*grammar);
    return grammar;
  }

 private:
  // A rule that refers to nothing but itself has no text.
  static void check_beginning(const Grammar& grammar) {
    std::vector<int32_t> mask(mask_words(grammar.vocabulary()));
    try {
      grammar.matcher()->next(mask);
    } catch (const std::runtime_error& e) {
      throw GrammarError(e.what());
    }
    const bool begins = std::any_of(mask.begin(), mask.end(), [](int32_t word) { return word != 0; });
    if (!begins) throw GrammarError("no text of this model's tokens follows the grammar");
  }

  GrammarResult compile_there(const GrammarSpec& spec, double seconds) const {
    GrammarJob job{spec, vocabulary_, static_cast<uint32_t>(std::ceil(seconds))};
    std::vector<std::byte> bytes;
    Writer{bytes}(job);
    const OpenFile in = memory_file(), out = memory_file();
    write_whole(in.get(), bytes);
    if (!ends_well(start(program(), in.get(), out.get()), seconds * kWallPerCore)) {
      throw GrammarError(kTooComplex);
    }
    GrammarResult result;
    const std::vector<std::byte> answer = read_whole(out.get());
    Reader{answer}(result);
    return result;
  }

  const GrammarVocabulary vocabulary_;
  const xgrammar::TokenizerInfo info_;
};

}  // namespace
}  // namespace uhd

const uhd::GrammarPlugin uhd_grammar_plugin = {
    UHD_GRAMMAR_INTERFACE, [](uhd::GrammarVocabulary vocabulary) -> std::unique_ptr<uhd::GrammarCompiler> {
      return std::make_unique<uhd::Compiler>(std::move(vocabulary));
    }};
