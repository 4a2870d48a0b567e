// A plugin for tests: a grammar's text is the ids of the only answer, and a space between them. Behind "await
// PATH", a grammar is ready once PATH.go is there, and PATH.begun tells that it is being compiled.
#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "tests/engine/fake_grammar.h"

namespace uhd {
namespace {

class FakeCompiler final : public GrammarCompiler {
 public:
  explicit FakeCompiler(const GrammarVocabulary& vocabulary)
      : size_(vocabulary.tokens.size()), end_(vocabulary.end_ids.at(0)) {}

  std::shared_ptr<const Grammar> compile(const GrammarSpec& spec, double) const override {
    std::istringstream text(spec.text);
    if (spec.text.starts_with("await ")) await(text);
    std::vector<int32_t> run;
    for (int32_t id = 0; text >> id;) run.push_back(id);
    if (run.empty()) throw GrammarError("no ids");
    return std::make_shared<FakeGrammar>(std::move(run), end_, size_);
  }

 private:
  static void await(std::istringstream& text) {
    std::string word, path;
    text >> word >> path;
    std::ofstream(path + ".begun").close();
    while (!std::filesystem::exists(path + ".go")) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }

  const size_t size_;
  const int32_t end_;
};

}  // namespace
}  // namespace uhd

extern "C" __attribute__((visibility("default"))) const uhd::GrammarPlugin uhd_grammar_plugin;

const uhd::GrammarPlugin uhd_grammar_plugin = {
    UHD_GRAMMAR_INTERFACE, [](uhd::GrammarVocabulary vocabulary) -> std::unique_ptr<uhd::GrammarCompiler> {
      return std::make_unique<uhd::FakeCompiler>(vocabulary);
    }};
