// SPDX-License-Identifier: Apache-2.0
// Suggestions as files for the programs that take them: a shell script, rules for nft(8), lines for
// Postfix's tables. Of several that mend the same thing one is taken, for they are alternatives.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/diagnosis/suggestion.hpp"

namespace postfathom {

enum class SuggestionFormat { text, json, sh, nft, postfix };
std::optional<SuggestionFormat> parse_suggestion_format(std::string_view text);

struct RenderRequest {
    SuggestionFormat format = SuggestionFormat::text;
    std::optional<SuggestionKind> kind{};  // only this one
    bool undo = false;                     // what takes it back
    std::string destination{};             // for headings
    bool colour = false;                   // of text
};

// What `format` has for these suggestions, best first:
//   text, json  all of them;
//   sh          the first that is commands for this host (with `kind`: any commands), as a script
//               that ends at the first failure;
//   nft         the first that is rules of nft, as `nft -f` takes them;
//   postfix     all lines of tables, under the names of their parameters.
// Nothing where there is none of that form. undo: likewise; for text, json and postfix it changes
// nothing.
std::optional<std::string> render(const std::vector<Suggestion>& suggestions,
                                  const RenderRequest& request);

}  // namespace postfathom
