// uhd_grammar_compiler: reads a GrammarJob from standard input, writes the GrammarResult to standard output.
// Both are files in memory. The limits of the process bound what a hostile grammar can take.
#include <sys/resource.h>
#include <unistd.h>
#include <xgrammar/xgrammar.h>

#include <iostream>
#include <regex>
#include <sstream>

#include "base/archive.h"
#include "grammar/job.h"
#include "grammar/xgrammar_vocabulary.h"

namespace uhd {
namespace {

constexpr rlim_t kMostMemory = rlim_t{2} << 30;
constexpr rlim_t kMostResult = rlim_t{64} << 20;
constexpr int kMostDepth = 500;          // of recursion, which the stack holds with ease
constexpr int kMostSpaces = 32;          // in one run of white space between a JSON text's tokens
constexpr size_t kLongestReason = 1000;  // of a refusal, in bytes

void limit(int what, rlim_t most) {
  const rlimit value{most, most};
  require(setrlimit(what, &value) == 0, "a limit of the process cannot be set");
}

std::string compiled(const GrammarJob& job) {
  xgrammar::GrammarCompiler compiler(xgrammar_vocabulary(job.vocabulary), 1, false);
  const auto of_schema = [&](const std::string& schema, bool strict) {
    return compiler.CompileJSONSchema(schema, true, std::nullopt, std::nullopt, strict, kMostSpaces);
  };
  switch (job.spec.kind) {
    case GrammarKind::json_object:
      return of_schema(R"({"type":"object"})", false).SerializeJSON();
    case GrammarKind::json_schema:
      return of_schema(job.spec.text, true).SerializeJSON();
    case GrammarKind::regex:
      return compiler.CompileRegex(job.spec.text).SerializeJSON();
    case GrammarKind::ebnf:
      return compiler.CompileGrammar(job.spec.text).SerializeJSON();
    case GrammarKind::structural_tag:
      return compiler.CompileStructuralTag(job.spec.text).SerializeJSON();
  }
  throw std::runtime_error("the grammar is of an unknown kind");
}

// XGrammar writes a warning where it leaves out a part of a grammar, and goes on.
class Warnings {
 public:
  Warnings() : before_(std::cerr.rdbuf(text_.rdbuf())) {}
  ~Warnings() { std::cerr.rdbuf(before_); }
  Warnings(const Warnings&) = delete;
  Warnings& operator=(const Warnings&) = delete;

  // Throws the first one.
  void check() const {
    constexpr std::string_view kMark = ": Warning: ";
    const std::string text = text_.str();
    const size_t at = text.find(kMark);
    if (at == std::string::npos) return;
    const size_t begin = at + kMark.size();
    throw std::runtime_error("not all of it would be honoured: " +
                             text.substr(begin, text.find('\n', begin) - begin));
  }

 private:
  std::ostringstream text_;
  std::streambuf* before_;
};

// A refusal in one line, without the places in XGrammar's sources.
std::string reason_of(const std::exception& e) {
  static const std::regex kPlace(R"(\[[0-9:]+\] \S+:[0-9]+: |Check failed: \([^)]*\(?\)?\) is false: )");
  std::string text = std::regex_replace(std::string(e.what()).substr(0, kLongestReason), kPlace, "");
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  }
  return text;
}

void run() {
  GrammarJob job;
  const std::vector<std::byte> bytes = read_whole(STDIN_FILENO);
  Reader{bytes}(job);
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_AS, kMostMemory);
  limit(RLIMIT_FSIZE, kMostResult);
  limit(RLIMIT_CPU, job.seconds);
  xgrammar::SetMaxRecursionDepth(kMostDepth);
  GrammarResult result;
  try {
    const Warnings warnings;
    result = {true, compiled(job)};
    warnings.check();
  } catch (const std::bad_alloc&) {
    throw;  // no memory for words about it either
  } catch (const std::exception& e) {
    result = {false, reason_of(e)};
  }
  std::vector<std::byte> out;
  Writer{out}(result);
  write_whole(STDOUT_FILENO, out);
}

}  // namespace
}  // namespace uhd

int main() {
  try {
    uhd::run();
    return 0;
  } catch (const std::exception&) {
    return 1;
  }
}
