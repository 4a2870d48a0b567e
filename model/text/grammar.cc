#include "model/text/grammar.h"

#include <dlfcn.h>

#include <string_view>

#include "base/error.h"

namespace uhd {

std::unique_ptr<GrammarCompiler> make_grammar_compiler(GrammarVocabulary vocabulary) {
  constexpr const char* kHow = "run scripts/grammar and start the server again";
  void* library = dlopen("libuhd_grammar.so", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  require(library != nullptr, "structured output is not implemented in this build: ", kHow);
  const auto* plugin = static_cast<const GrammarPlugin*>(dlsym(library, "uhd_grammar_plugin"));
  require(plugin != nullptr, "libuhd_grammar.so is not a plugin of this program: ", kHow);
  require(std::string_view(plugin->interface) == UHD_GRAMMAR_INTERFACE,
          "libuhd_grammar.so belongs to another build of this program: ", kHow);
  return plugin->make_compiler(std::move(vocabulary));
}

}  // namespace uhd
